"""What the content digest covers, and the metadata read without ONNX."""

import hashlib

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from protos.content import content_digest, external_files, read_metadata


def model(weight: float = 1.0, **metadata: str) -> bytes:
    constant = helper.make_tensor("w", TensorProto.FLOAT, [1], [weight])
    value = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])
    built = helper.make_model(helper.make_graph([], "graph", [], [value], [constant]))
    helper.set_model_props(built, metadata)
    return built.SerializeToString(deterministic=True)


@given(st.dictionaries(st.text(), st.text()))
def test_metadata_can_be_read_and_does_not_change_the_digest(metadata: dict[str, str]) -> None:
    assert read_metadata(model(**metadata)) == metadata
    assert content_digest(model(**metadata)) == content_digest(model())


def test_the_digest_of_a_model_without_metadata_is_the_file_s() -> None:
    assert content_digest(model()) == f"sha256:{hashlib.sha256(model()).hexdigest()}"


def test_a_weight_changes_the_digest() -> None:
    assert content_digest(model(1.0)) != content_digest(model(1.0000001))


def test_every_byte_outside_the_metadata_counts() -> None:
    content = model()
    digests = set()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        try:
            digests.add(content_digest(bytes(changed)))
        except ValueError:
            continue  # the framing broke, which is a refusal as well

    assert content_digest(content) not in digests


def test_the_place_of_the_metadata_does_not_count() -> None:
    entry = onnx.ModelProto()
    entry.metadata_props.add(key="key", value="value")

    assert content_digest(entry.SerializeToString() + model()) == content_digest(model())


def test_a_truncated_file_is_refused_or_has_another_digest() -> None:
    content = model(key="value")
    for length in range(1, len(model())):
        try:
            digest = content_digest(content[:length])
        except ValueError:
            continue
        assert digest != content_digest(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x0b", "unknown wire type 3 at byte 0"),
        (b"\x0a\x05abc", "truncated: the field at byte 0 ends at 7 of 5"),
        (b"\x08", "truncated: the file ends inside a number at byte 1"),
        (b"\x08" + b"\xff" * 11, "more than 64 bits"),
    ],
)
def test_what_is_not_protobuf_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        content_digest(content)
    with pytest.raises(ValueError, match=message):
        read_metadata(content)


def test_files_outside_are_found_at_any_depth():
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="deep.bin")
    value = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    branch = onnx.helper.make_graph([], "branch", [], [value], [weight])
    choice = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    other = onnx.TensorProto()
    other.CopyFrom(weight)
    other.external_data[0].value = "top.bin"
    graph = onnx.helper.make_graph([choice], "graph", [], [value], [other])
    model = onnx.helper.make_model(graph).SerializeToString()
    assert external_files(model) == ["deep.bin", "top.bin"]
