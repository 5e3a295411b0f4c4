"""A stream's state as one portable value: a header, and the snapshot that it vouches for.

Owns the bytes: a magic word, a format version, a checksum, a signature where a key is configured,
and the message `statewise.v1.Snapshot`. What arrives is refused by name of what is wrong with it,
before a byte of it is believed. Whether a snapshot fits a model is `snapshots`' to say.

    bytes   0  magic, SWSTATE and a zero
            8  format version, little-endian uint32
           12  SHA-256 of the snapshot
           44  HMAC-SHA-256 of all the rest, or zeros where it is not signed
           76  the snapshot
"""

import hashlib
import hmac
import math
import struct
from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError

from protos.statewise.v1 import state_pb2 as wire
from service.durability.snapshots import NamedState, Snapshot
from service.errors import InvalidArgument, shorten
from service.tensors import Array, dtype_of_name

_MAGIC = b"SWSTATE\0"
_FORMAT_VERSION = 1
_HEADER = struct.Struct("<8sI32s32s")
_UNSIGNED = bytes(32)
# As many as ONNX Runtime has a use for.
_MOST_AXES = 8
_AGAIN = "export the state again"


def encode(snapshot: Snapshot, key: bytes | None = None) -> bytes:
    """The blob of a snapshot, signed where there is a key."""
    message = wire.Snapshot(
        model=snapshot.model,
        version=snapshot.version,
        content_digest=snapshot.digest,
        numeric_fingerprint=snapshot.fingerprint,
        steps=snapshot.steps,
        states=[
            wire.StateTensor(
                name=state.name,
                dtype=state.values.dtype.name,
                shape=state.values.shape,
                data=_little(state.values).tobytes(),
            )
            for state in snapshot.states
        ],
    )
    payload = message.SerializeToString(deterministic=True)
    start = _HEADER.pack(_MAGIC, _FORMAT_VERSION, hashlib.sha256(payload).digest(), _UNSIGNED)
    signature = _signature(start, payload, key) if key else _UNSIGNED
    return start[: -len(signature)] + signature + payload


def decode(data: bytes, key: bytes | None = None, previous: Sequence[bytes] = ()) -> Snapshot:
    """The snapshot of a blob.

    Args:
        data: the blob.
        key: where there is one, blobs signed with it are taken and no others.
        previous: keys that are taken beside it.

    Raises:
        InvalidArgument: with reason BLOB_NOT_STATE, BLOB_VERSION, BLOB_UNSIGNED, BLOB_SIGNATURE,
            BLOB_CHECKSUM or BLOB_CONTENT.
    """
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise InvalidArgument(
            f"the state is no blob of this service: {len(data)} bytes that don't begin as one; "
            "send what export gave, whole",
            reason="BLOB_NOT_STATE",
        )
    _, version, checksum, signature = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if version != _FORMAT_VERSION:
        raise InvalidArgument(
            f"the state has format version {version}; this server reads {_FORMAT_VERSION}: "
            f"{_AGAIN}",
            reason="BLOB_VERSION",
            version=version,
        )
    if key:
        _check_signature(data, payload, signature, (key, *previous))
    if hashlib.sha256(payload).digest() != checksum:
        raise InvalidArgument(
            f"the state was damaged on its way: its checksum is another; {_AGAIN}",
            reason="BLOB_CHECKSUM",
        )
    return _snapshot(payload)


def _check_signature(data: bytes, payload: bytes, signature: bytes, keys: Sequence[bytes]) -> None:
    if signature == _UNSIGNED:
        raise InvalidArgument(
            "the state is not signed, and this server takes signed ones only; export it from a "
            "server with the same key",
            reason="BLOB_UNSIGNED",
        )
    start = data[: _HEADER.size - len(_UNSIGNED)] + _UNSIGNED
    matches = [hmac.compare_digest(_signature(start, payload, key), signature) for key in keys]
    if not any(matches):
        raise InvalidArgument(
            "the state's signature is another: it was changed, or signed with another key",
            reason="BLOB_SIGNATURE",
        )


def _signature(start: bytes, payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, start + payload, "sha256")


def _snapshot(payload: bytes) -> Snapshot:
    try:
        message = wire.Snapshot.FromString(payload)
        states = tuple(map(_state, message.states))
    except (DecodeError, ValueError) as error:
        raise InvalidArgument(
            f"the state's content can't be read: {error}; {_AGAIN}", reason="BLOB_CONTENT"
        ) from None
    return Snapshot(
        model=message.model,
        version=message.version,
        digest=message.content_digest,
        fingerprint=message.numeric_fingerprint,
        states=states,
        steps=message.steps,
    )


def _state(tensor: wire.StateTensor) -> NamedState:
    name = shorten(tensor.name)
    dtype = dtype_of_name(tensor.dtype)
    if dtype is None:
        raise ValueError(f"{name} has dtype {shorten(tensor.dtype)!r}")
    if len(tensor.shape) > _MOST_AXES:
        raise ValueError(f"{name} has {len(tensor.shape)} axes, of which {_MOST_AXES} are served")
    shape = tuple(tensor.shape)
    if len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {len(tensor.data)} bytes for {list(shape)}")
    values = np.frombuffer(tensor.data, dtype.newbyteorder("<")).reshape(shape)
    return NamedState(tensor.name, values.astype(dtype, copy=False))


def _little(values: Array) -> Array:
    return values.astype(values.dtype.newbyteorder("<"), copy=False)
