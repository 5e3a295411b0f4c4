"""Models with random weights, and files of steps for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import csv, ipc, parquet

from export.artifact import seal, write_file
from export.exporter import make_artifact
from export.forms import STEP
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from service.artifacts import artifact
from service.errors import TableError, UserError
from service.offline.job import Job
from service.offline.score import score
from service.runtime.engine import Engine
from training.reference import Network

FEATURES = 3
BEFORE = b"what stood here before"
QUICK = ProofSettings(
    reference_steps=20, reference_batches=(2,), company_batches=(2, 5), chunked_steps=7
)


@dataclass(frozen=True)
class Model:
    """An artefact on disk, and the network that it was made of."""

    path: Path
    network: Network

    def alone(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answers to one entity, (steps, outputs), by an engine that has no other."""
        loaded = artifact.load(self.path)
        engine = Engine(loaded, provider="cpu", max_batch=1)
        engine.states[0] = loaded.signature.initial_row()
        answers = []
        for step in inputs:
            engine.inputs[0] = step
            engine.step(1)
            answers.append(engine.outputs[0].copy())
            engine.states[0] = engine.next_states[0]
        return np.array(answers)


def _network(**options: object) -> Network:
    return random_network(FEATURES, 8, 2, 4, **options)


def _model(folder: Path, name: str, network: Network) -> Model:
    made, proof = make_artifact(random_model(network, name), STEP, QUICK)
    assert not proof.failures
    path = folder / name / "1" / "model.onnx"
    write_file(path, seal(made))
    return Model(path, network)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return _model(tmp_path_factory.mktemp("models"), "classifier", _network(seed=8))


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Model:
    network = _network(activation="identity")
    return _model(tmp_path_factory.mktemp("models"), "regressor", network)


@pytest.fixture(scope="session")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Its scaling makes infinity of large inputs."""
    network = replace(_network(), input_scale=np.full(FEATURES, np.float32(1e-9), np.float64))
    return _model(tmp_path_factory.mktemp("models"), "overflowing", network)


@pytest.fixture
def steps() -> Callable[..., pa.Table]:
    """Makes steps of the entities a, b and c, interleaved; a keyword replaces or adds a column."""

    def made(**columns: object) -> pa.Table:
        random = np.random.default_rng(1)
        table = {
            "device": list("abacabba"),
            "second": [0, 0, 1, 0, 2, 5, 7, 9],
            **{f"feature_{number}": random.normal(size=8) for number in range(FEATURES)},
        }
        return pa.table({**table, **columns})

    return made


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table, or text, to a file of the test's folder."""

    def saved(content: pa.Table | str, name: str = "steps.parquet") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        elif path.suffix == ".csv":
            csv.write_csv(content, path)
        elif path.suffix in (".arrow", ".feather"):
            with ipc.new_file(path, content.schema) as writer:
                writer.write_table(content, 3)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(content, path)
        return path

    return saved


@pytest.fixture
def job(classifier: Model, tmp_path: Path) -> Job:
    """Scores steps.parquet of the test's folder; something stands where its output goes."""
    output = tmp_path / "answers.parquet"
    output.write_bytes(BEFORE)
    return Job(classifier.path, tmp_path / "steps.parquet", output, "device", "second")


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Does a job that is refused: in one line, and nothing is left behind it."""

    def refused(job: Job, kind: type[UserError] = TableError) -> str:
        with pytest.raises(kind) as caught:
            score(job)
        message = str(caught.value)
        assert "\n" not in message
        assert job.output.read_bytes() == BEFORE
        assert not [path for path in job.output.parent.iterdir() if path.name.startswith(".")]
        return message.replace(f"{job.output.parent}/", "")

    return refused
