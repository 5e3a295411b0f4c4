"""One score from file to file: prove the model, read, take every step, write.

Owns the order of these and the checks of what is asked for. Knows nothing of the command line.
"""

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from service import artifact, selftest
from service.engine import Engine
from service.errors import ArtifactError, SettingsError, TableError
from service.offline import lanes, results
from service.offline.progress import progress
from service.offline.results import Answers
from service.offline.sequences import group
from service.offline.source import open_source
from service.offline.table import Columns, read
from service.repository import MODEL_FILE, find_versions
from service.selftest import SelfTest
from service.settings import Provider

_log = logging.getLogger(__name__)
_MOST_BATCH = 65_536


@dataclass(frozen=True)
class Job:
    """What to score, checked when it is built.

    Attributes:
        model: a model.onnx, or the folder of a model, whose newest version is taken.
        input: a Parquet or CSV file, one row a step.
        output: the Parquet file to write.
        entity: column that says whose step a row is.
        order: column whose values grow from step to step of an entity.
        provider: execution provider. CPU, whose bits are those of serving.
        max_batch: rows of one call. Throughput is flat from 64 up; wider calls share out what a
            call costs besides.
    """

    model: Path
    input: Path
    output: Path
    entity: str
    order: str
    provider: Provider = "cpu"
    max_batch: int = 256

    def __post_init__(self) -> None:
        """Refuses what could not be scored, or would overwrite the input."""
        if not 1 <= self.max_batch <= _MOST_BATCH:
            raise SettingsError(
                f"max_batch is {self.max_batch}; take a value from 1 to {_MOST_BATCH}"
            )
        if self.output.suffix.lower() != ".parquet":
            raise TableError(
                f"{self.output}: ends in {self.output.suffix!r}; the output is Parquet: let its "
                "name end in .parquet"
            )
        if self.output.is_dir():
            raise TableError(f"{self.output}: is a folder; name a file in it")
        if self.output.resolve() == self.input.resolve():
            raise TableError(f"{self.output}: is the input too; write to another file")


@dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        scoring_seconds: of the steps alone.
        seconds: of everything, the model's proof, reading and writing included.
    """

    entities: int
    steps: int
    scoring_seconds: float
    seconds: float
    output: Path

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"scored {self.entities:,} entities, {self.steps:,} steps at "
            f"{self.steps / self.scoring_seconds:,.0f} steps/s, in {self.seconds:.1f} s with "
            f"reading and writing: {self.output}"
        )


def score(job: Job) -> Summary:
    """Scores a file; the output is written whole, or left as it was.

    Raises:
        ArtifactError: the model can't be served, or fails its self-test.
        ProviderError: the provider that was asked for isn't there.
        TableError: the input can't be scored, or the output can't be written.
        ModelFault: ONNX Runtime failed on a step.
    """
    started = time.perf_counter()
    model = artifact.load(_model_file(job.model))
    if model.golden is None:
        raise ArtifactError(
            f"{model.path}: has no manifest that names its features; `score` takes models made "
            "with `python -m export`"
        )
    columns = Columns(job.entity, job.order, model.features)
    results.check_names(job.output, columns, model.outputs, model.classes)
    source = open_source(job.input)
    engine = Engine(model, provider=job.provider, max_batch=job.max_batch)
    proof = _prove(engine)
    with results.replacing(job.output) as file:
        table = read(source, columns)
        sequences = group(table)
        with progress(len(sequences.rows), sys.stderr) as report:
            began = time.perf_counter()
            initial = engine.signature.initial_row()
            values = lanes.run(engine, initial, table.features, sequences, report)
            scoring_seconds = time.perf_counter() - began
        answers = Answers(model.outputs, model.classes, values)
        results.write(file, table, answers, _metadata(engine, proof))
    return Summary(
        entities=len(sequences.lengths),
        steps=len(sequences.rows),
        scoring_seconds=scoring_seconds,
        seconds=time.perf_counter() - started,
        output=job.output,
    )


def _model_file(path: Path) -> Path:
    """The file itself, or the newest version in a model's folder."""
    if not path.is_dir():
        return path
    versions = find_versions(path)
    if not versions:
        raise ArtifactError(
            f"{path}: has no <version>/{MODEL_FILE}; give a {MODEL_FILE}, or a model's folder"
        )
    return versions[-1].path


def _prove(engine: Engine) -> SelfTest:
    proof = selftest.replay(engine)
    _log.info(
        "model %s on %s: %s; content %s, fingerprint %s",
        *(engine.artifact.name, engine.provider, proof.summary()),
        *(engine.artifact.digest, proof.fingerprint),
    )
    return proof


def _metadata(engine: Engine, proof: SelfTest) -> dict[str, str]:
    return {
        "statewise.model": engine.artifact.name,
        "statewise.content_digest": engine.artifact.digest,
        "statewise.numeric_fingerprint": proof.fingerprint,
        "statewise.provider": engine.provider,
    }
