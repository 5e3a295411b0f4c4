"""Bytes that come from files and stores: damaged, forged, or claiming what they don't have."""

import asyncio
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fakes import OUTPUTS, distinct
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from kept_server import kept_server
from messages import altered, damaged, messages
from pyarrow import parquet
from refusing import refuse
from scale import SCALE

from protos.inference.model_config_pb2 import ModelConfig
from protos.statewise.v1 import state_pb2 as wire
from service.artifacts import artifact, config
from service.durability import blob
from service.durability.openings import outputs_of, parsed
from service.errors import ServiceError
from service.stores.store import Record

ALL = settings(max_examples=SCALE.examples, deadline=None, suppress_health_check=list(HealthCheck))
MADE_FILES = SCALE.examples
# Scores every file of a folder within some memory, and says each one's name as it is done.
SCORER = """
import resource, sys
from pathlib import Path
from service.errors import ServiceError
from service.offline.job import Job
from service.offline.score import score

folder, model = map(Path, sys.argv[1:])
options = dict(model=model, entity="who", order="when", provider="cpu", max_batch=8)
score(Job(input=folder / "whole.parquet", output=folder / "out.parquet", **options))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30,) * 2)
for path in sorted(folder.glob("[0-9]*.parquet")):
    try:
        score(Job(input=path, output=folder / "out.parquet", **options))
    except ServiceError as error:
        assert len(error.message) < 2000 and "\\n" not in error.message, error
    print(path.name, flush=True)
"""


def sealed(snapshot: bytes) -> bytes:
    """A blob whose checksum holds, as anybody can make one."""
    checksum = hashlib.sha256(snapshot).digest()
    return struct.pack("<8sI32s32s", b"SWSTATE\0", 1, checksum, bytes(32)) + snapshot


def state(**fields: object) -> bytes:
    tensor = wire.StateTensor(name="state", **fields)
    return wire.Snapshot(model="random", states=[tensor]).SerializeToString()


@ALL
@given(
    data=st.one_of(
        messages(wire.Snapshot.DESCRIPTOR).map(lambda one: one.SerializeToString()),
        damaged(state(dtype="float32", shape=[2], data=bytes(8))),
    )
)
@example(data=state(dtype="(2,f4", shape=[1], data=bytes(4)))
@example(data=state(dtype="float32", shape=[2**30], data=b""))
@example(data=state(dtype="float32", shape=[2**32 - 1] * 4 + [0], data=b""))
@example(data=state(dtype="float32", shape=[1] * 100_000, data=bytes(4)))  # fmt: skip
def test_blobs(data: bytes) -> None:
    refuse(lambda: blob.decode(sealed(data)))
    refuse(lambda: blob.decode(data))


def kept_blob() -> bytes:
    """The state of a stream of the fake model, as a server gives it."""

    async def exported() -> bytes:
        server = kept_server()
        await server.push(await server.begun(), distinct(3, 1))
        return (await server.operations.export("pump", "")).state

    return asyncio.run(exported())


BLOB = kept_blob()
HEADER = 76


@ALL
@given(
    snapshot=st.one_of(
        altered(wire.Snapshot.FromString(BLOB[HEADER:])).map(lambda one: one.SerializeToString()),
        damaged(BLOB[HEADER:]),
    )
)
def test_states_that_are_imported_and_gone_on_with(snapshot: bytes) -> None:
    async def go_on() -> None:
        server = kept_server()
        await server.operations.import_state(sealed(snapshot), "pump", "")
        stream = await server.resumed()
        outputs = await server.push(stream, distinct(2, 2))
        assert outputs.shape == (2, OUTPUTS)

    refuse(lambda: asyncio.run(go_on()))


def test_a_blob_of_another_dtype_is_told_in_a_line() -> None:
    for dtype in ("(2,f4", "x" * 100_000, "float32\n"):
        with pytest.raises(ServiceError) as refused:
            blob.decode(sealed(state(dtype=dtype, shape=[1], data=bytes(4))))
        assert len(refused.value.message) < 500
        assert refused.value.reason == "BLOB_CONTENT"


KEPT = wire.Kept(
    state=b"blob",
    results=[wire.KeptResult(sequence=n, steps=1, outputs=2, data=bytes(8)) for n in (4, 5)],
)


@ALL
@given(
    data=st.one_of(
        messages(wire.Kept.DESCRIPTOR).map(lambda one: one.SerializeToString()),
        damaged(KEPT.SerializeToString()),
    )
)
@example(data=wire.Kept(results=[wire.KeptResult(steps=2**31)]).SerializeToString())
def test_what_a_store_keeps(data: bytes) -> None:
    def read() -> None:
        kept = parsed(Record("s", 1, "", "random", "1", 5, 5, data))
        assert [one.sequence for one in kept.results] in ([], [5], [4, 5])
        for one in kept.results:
            assert outputs_of(one).shape == (one.steps, one.outputs)

    refuse(read)


@pytest.mark.parametrize(
    "results",
    [
        [wire.KeptResult(sequence=5, steps=1, outputs=3, data=b"abc")],
        [wire.KeptResult(sequence=3, steps=1, outputs=2, data=bytes(8))],
        [],
    ],
    ids=["length", "number", "no-state"],
)
def test_a_record_at_odds_with_itself_is_no_record(results) -> None:
    kept = wire.Kept(state=b"blob" if results else b"", results=results)
    with pytest.raises(ServiceError, match="can't be read"):
        parsed(Record("s", 1, "", "random", "1", 5, 5, kept.SerializeToString()))


CONFIG = b"""backend: "onnxruntime" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [1, -1] }
sequence_batching { state { input_name: "h" output_name: "g" dims: 2 } }
parameters { key: "a" value: { string_value: "\\377" } }"""


@ALL
@given(
    text=st.one_of(
        damaged(CONFIG),
        messages(ModelConfig.DESCRIPTOR).map(lambda one: config.write(one).encode()),
    )
)
@example(text=b"input {" * 5_000)
@example(text=b"name: '\\ud800'")
@example(text=b"max_batch_size: 1e400")  # fmt: skip
def test_configs(tmp_path_factory, text: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "config.pbtxt").write_bytes(text)
    refuse(lambda: config.read(folder))


def claims(whole: bytes) -> st.SearchStrategy[bytes]:
    """Tables whose end tells of a footer of another length, up to 4 GB of it."""
    lengths = st.one_of(
        st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)
    )
    return lengths.map(lambda length: whole[:-8] + struct.pack("<I4s", length, b"PAR1"))


def test_damaged_tables(model_path: Path, tmp_path: Path) -> None:
    names = artifact.load(model_path).features
    dice = np.random.default_rng(9)
    columns = {name: dice.standard_normal(60).astype(np.float32) for name in names}
    table = pa.table({"who": ["a", "b", "c"] * 20, "when": range(60), **columns})
    parquet.write_table(table, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()

    @seed(9)
    @settings(max_examples=MADE_FILES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.one_of(damaged(whole), claims(whole), st.binary(max_size=200)))
    def make(data: bytes) -> None:
        (tmp_path / f"{len(made):05}.parquet").write_bytes(data)
        made.append(data)

    made: list[bytes] = []
    make()
    done = subprocess.run(
        [sys.executable, "-c", SCORER, tmp_path, model_path],
        capture_output=True,
        text=True,
        timeout=SCALE.patience,
    )
    assert done.returncode == 0, (done.stdout[-20:], done.stderr[-2_000:])
    assert len(done.stdout.split()) == len(made)
