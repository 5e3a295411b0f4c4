"""Bytes that come from files and stores: damaged, forged, or claiming what they don't have."""

import hashlib
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from messages import damaged, messages
from pyarrow import parquet
from scale import SCALE

from protos.content import MANIFEST_KEY, read_metadata
from protos.inference.model_config_pb2 import ModelConfig
from protos.statewise.v1 import state_pb2 as wire
from service import artifact, config
from service.durability import blob
from service.durability.openings import outputs_of, parsed
from service.errors import ServiceError
from service.stores.store import Record

MOST_BYTES = 64 * 1024 * 1024
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


def refuse(read: Callable[[], object]) -> None:
    """Reads what may be anything: it is taken or refused in words, within some memory."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with suppress(ServiceError):
        read()
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < MOST_BYTES


@pytest.fixture(autouse=True, scope="module")
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


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


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf with a length."""
    out, values = bytearray(), (number << 3 | 2, len(content))
    for value in values:
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    return bytes(out) + content


def nested(depth: int) -> bytes:
    """A model whose graph has a node with a graph, and so on."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "random" / "1"
    folder.mkdir(parents=True)
    return folder / "model.onnx"


@pytest.mark.parametrize("model", [nested(5_000), field(7, b"\xff" * 9 + b"\x01")])
def test_a_model_that_is_no_model_is_refused(place: Path, model: bytes) -> None:
    place.write_bytes(model)
    with pytest.raises(ServiceError, match="not a whole ONNX file"):
        artifact.load(place)


def test_damaged_models(model_path: Path, place: Path) -> None:
    whole = model_path.read_bytes()

    @ALL
    @given(model=damaged(whole))
    def fuzz(model: bytes) -> None:
        place.write_bytes(model)
        refuse(lambda: artifact.load(place))

    fuzz()


def test_damaged_manifests(model_path: Path, place: Path) -> None:
    whole = model_path.read_bytes()
    manifest = read_metadata(whole)[MANIFEST_KEY].encode()

    @ALL
    @given(text=st.one_of(damaged(manifest), st.text(max_size=40).map(str.encode)))
    @example(text=b"[" * 100_000)
    @example(text=b'{"a":' * 100_000)
    @example(text=b'{"format_version":' + b"9" * 10_000 + b"}")
    def fuzz(text: bytes) -> None:
        # The last entry of a key counts.
        entry = field(1, MANIFEST_KEY.encode()) + field(2, text)
        place.write_bytes(whole + field(14, entry))
        refuse(lambda: artifact.load(place))

    fuzz()


def test_damaged_tables(model_path: Path, tmp_path: Path) -> None:
    names = artifact.load(model_path).features
    dice = np.random.default_rng(9)
    columns = {name: dice.standard_normal(60).astype(np.float32) for name in names}
    table = pa.table({"who": ["a", "b", "c"] * 20, "when": range(60), **columns})
    parquet.write_table(table, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()

    @seed(9)
    @settings(max_examples=MADE_FILES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=damaged(whole))
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
