"""Models and what is declared of them, changed field by field: valid all but for a few."""

from pathlib import Path

import pytest
from foreign import accumulator
from google.protobuf import json_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from messages import altered, damaged
from refusing import refuse
from scale import SCALE

from protos.content import MANIFEST_KEY, read_metadata
from protos.inference.model_config_pb2 import ModelConfig
from protos.statewise.v1.graph_pb2 import GraphModel
from protos.statewise.v1.manifest_pb2 import Manifest
from service.artifacts import artifact, config
from service.artifacts.resolution import resolve
from service.errors import ServiceError
from service.runtime.sessions import inspect

ALL = settings(max_examples=SCALE.examples, deadline=None, suppress_health_check=list(HealthCheck))


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


def test_altered_manifests(model_path: Path, place: Path) -> None:
    whole = model_path.read_bytes()
    manifest = json_format.Parse(read_metadata(whole)[MANIFEST_KEY], Manifest())

    huge = Manifest()
    huge.CopyFrom(manifest)
    huge.states[0].shape[:] = [2**31]
    huge.states[0].initial_value = b""
    endless = Manifest()
    endless.CopyFrom(huge)
    endless.states[0].shape[:] = [2**32 - 1] * 20

    @ALL
    @given(other=altered(manifest))
    @example(other=huge)
    @example(other=endless)
    def fuzz(other: Manifest) -> None:
        # The last entry of a key counts.
        text = json_format.MessageToJson(other).encode()
        entry = field(1, MANIFEST_KEY.encode()) + field(2, text)
        place.write_bytes(whole + field(14, entry))
        refuse(lambda: artifact.load(place))

    fuzz()


@pytest.mark.parametrize("kind", ["altered", "damaged"])
def test_models_by_others(tmp_path: Path, kind: str) -> None:
    path = accumulator(tmp_path / "acc")
    whole = path.read_bytes()
    models = {
        "altered": altered(GraphModel.FromString(whole)).map(lambda one: one.SerializeToString()),
        "damaged": damaged(whole),
    }

    @ALL
    @given(model=models[kind])
    def fuzz(model: bytes) -> None:
        path.write_bytes(model)
        refuse(lambda: artifact.load(path))

    fuzz()


def test_configs_against_their_graph(tmp_path: Path) -> None:
    folder = tmp_path / "acc"
    loaded = artifact.load(accumulator(folder))
    graph = inspect(loaded)

    nameless = ModelConfig()
    nameless.CopyFrom(loaded.config)
    nameless.sequence_batching.state[0].initial_state[0].data_file = "s\0m"
    numbered = ModelConfig()
    numbered.CopyFrom(loaded.config)
    # The sequence's own number, which is neither off nor on.
    numbered.sequence_batching.control_input[-1].control[0].int32_false_true[:] = [-(2**31)]

    @ALL
    @given(other=altered(loaded.config))
    @example(other=nameless)
    @example(other=numbered)
    def fuzz(other) -> None:
        (folder / "config.pbtxt").write_text(config.write(other))

        def read() -> None:
            resolve(graph, config.read(folder), folder)

        refuse(read)

    fuzz()
