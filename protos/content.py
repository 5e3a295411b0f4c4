"""How a model's file is read without ONNX: metadata, files beside it, what its digest covers.

Owns three rules. The digest is SHA-256 over the top-level fields of the ONNX file in their order,
all but the metadata, where the digest itself stands. The metadata are the entries of that one
field. Weights outside the file are named by the tensors of its graphs, at any depth. The exporter
writes by these rules and the server checks by them.

Knows nothing of ONNX beyond a few field numbers and of protobuf beyond its framing: a field is a
tag, then a varint, 4 or 8 bytes, or a length and that many bytes.
"""

import hashlib
from collections.abc import Iterator

MANIFEST_KEY = "statewise.manifest"
# ModelProto.metadata_props, a repeated StringStringEntryProto of key and value.
_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2
# Where a message of a kind holds messages of other kinds: field numbers of ModelProto, GraphProto,
# NodeProto, AttributeProto, SparseTensorProto and FunctionProto.
_WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# TensorProto.external_data, entries of key and value as in the metadata.
_EXTERNAL_FIELD, _LOCATION = 13, "location"
# protobuf itself reads no message that is nested deeper.
_DEEPEST = 100
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def content_digest(model: bytes) -> str:
    """Digest of a serialized ONNX model, metadata left out.

    Args:
        model: the bytes of the .onnx file.

    Returns:
        "sha256:" and 64 hexadecimal digits.

    Raises:
        ValueError: the bytes are not a sequence of whole protobuf fields.
    """
    digest = hashlib.sha256()
    for number, whole, _ in _fields(memoryview(model)):
        if number != _METADATA_FIELD:
            digest.update(whole)
    return f"sha256:{digest.hexdigest()}"


def read_metadata(model: bytes) -> dict[str, str]:
    """Metadata entries of a serialized ONNX model.

    Args:
        model: the bytes of the .onnx file.

    Raises:
        ValueError: the bytes are not a sequence of whole protobuf fields, or an entry is not text.
    """
    entries = {}
    for number, _, content in _fields(memoryview(model)):
        if number == _METADATA_FIELD:
            key, value = _entry(content)
            entries[key] = value
    return entries


def external_files(model: bytes) -> list[str]:
    """Files outside the model that its tensors are read from, as the model names them.

    Args:
        model: the bytes of the .onnx file.

    Raises:
        ValueError: the bytes are not a sequence of whole protobuf fields.
    """
    return sorted(set(_locations(memoryview(model), "model")))


def _locations(message: memoryview, kind: str, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError(f"graphs within graphs, more than {_DEEPEST} messages deep")
    for number, _, content in _fields(message):
        if kind == "tensor":
            if number == _EXTERNAL_FIELD:
                key, value = _entry(content)
                if key == _LOCATION:
                    yield value
        elif number in _WITHIN[kind]:
            yield from _locations(content, _WITHIN[kind][number], depth + 1)


def _entry(content: memoryview) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    parts = {key: bytes(text).decode() for key, _, text in _fields(content)}
    return parts.get(_KEY_FIELD, ""), parts.get(_VALUE_FIELD, "")


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, whole bytes and content of each field; the content of a number is empty."""
    start = 0
    while start < len(view):
        tag, position = _varint(view, start)
        wire_type, content = tag & 7, position
        if wire_type == _VARINT:
            _, content = _varint(view, position)
            end = content
        elif wire_type == _DELIMITED:
            length, content = _varint(view, position)
            end = content + length
        elif wire_type in _FIXED_SIZES:
            end = position + _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {start}")
        if end > len(view):
            raise ValueError(f"truncated: the field at byte {start} ends at {end} of {len(view)}")
        yield tag >> 3, view[start:end], view[content:end]
        start = end


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(view):
            raise ValueError(f"truncated: the file ends inside a number at byte {position}")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number of more than 64 bits at byte {position}")
