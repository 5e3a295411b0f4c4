"""A model whose products are computed in 8-bit integers is served and scored as any other."""

import asyncio
import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from fakes import distinct
from processes import serving
from pyarrow import parquet
from statewise_client import aio

from export.exporter import export_model
from export.forms import STEP_INT8
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from service.artifacts import artifact
from service.errors import ArtifactError, ProviderError
from service.models import selftest
from service.offline.job import Job
from service.offline.score import score
from service.runtime.engine import Engine
from service.runtime.sessions import open_session

QUICK = ProofSettings(
    reference_steps=20, reference_batches=(1, 3), company_batches=(2, 5), chunked_steps=4
)
STREAMS, STEPS, FEATURES = 12, 15, 4


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("repository") / "quantized" / "1" / "model.onnx"
    model = random_model(random_network(FEATURES, 256, 2, 3), "quantized")
    export_model(model, path, STEP_INT8, QUICK)
    return path


def test_it_is_tested_at_load_within_what_rounding_costs(path):
    loaded = artifact.load(path)
    results = [
        selftest.replay(Engine(loaded, provider="cpu", max_batch=size)) for size in (1, 2, 64)
    ]
    assert loaded.int8
    assert len({result.fingerprint for result in results}) == 1
    assert 1e-4 < results[0].worst_error <= results[0].tolerance < 0.02
    golden = dataclasses.replace(loaded.golden, outputs=loaded.golden.outputs + 0.02)
    engine = Engine(dataclasses.replace(loaded, golden=golden), provider="cpu", max_batch=4)
    with pytest.raises(ArtifactError, match="self-test failed"):
        selftest.replay(engine)


async def converse(client, inputs, cuts):
    async with client.open("quantized") as stream:
        return np.vstack([await stream.push(part) for part in np.split(inputs, cuts)])


async def stream_all(target, inputs):
    """All streams at once, each cut into chunks in its own way."""
    async with aio.Client(target) as client:
        talks = [converse(client, one, [1 + row % 3, 7 + row % 5]) for row, one in inputs.items()]
        return await asyncio.gather(*talks)


def test_streams_in_chunks_and_a_table_have_the_same_bits(path, tmp_path):
    inputs = {row: distinct(STEPS, row, FEATURES) for row in range(STREAMS)}
    with serving(path) as server:
        streamed = asyncio.run(stream_all(server.target, inputs))
    rows = np.concatenate([inputs[row] for row in range(STREAMS)])
    table = {
        "device": np.repeat(np.arange(STREAMS), STEPS),
        "second": np.tile(np.arange(STEPS), STREAMS),
        **{f"feature_{number}": rows[:, number] for number in range(FEATURES)},
    }
    parquet.write_table(pa.table(table), tmp_path / "steps.parquet")
    output = tmp_path / "answers.parquet"
    score(Job(path, tmp_path / "steps.parquet", output, "device", "second", max_batch=5))
    answers = parquet.read_table(output)
    scored = np.stack([answers[f"output_{number}"].to_numpy() for number in range(3)], axis=1)
    assert scored.tobytes() == np.concatenate(streamed).astype(np.float32).tobytes()


def test_it_is_for_the_cpu(path, caplog):
    loaded = artifact.load(path)
    with pytest.raises(ProviderError, match=r"quantized computes in int8.*take --provider cpu"):
        open_session(loaded, "cuda")
    with caplog.at_level("INFO"):
        assert open_session(loaded, "auto")[1] == "cpu"
    assert "cpu, since quantized computes in int8" in caplog.text
