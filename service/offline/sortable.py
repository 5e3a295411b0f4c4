"""Keys in types that every library compares and keeps alike.

Owns the way there and back: times travel as the whole numbers that they are, texts as plain texts.
"""

import pyarrow as pa
from pyarrow import types

_BY_BITS = {32: pa.int32(), 64: pa.int64()}


def sortable_type(kind: pa.DataType) -> pa.DataType:
    """The type in which keys of a type are compared."""
    if types.is_temporal(kind):
        return _BY_BITS[kind.bit_width]
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def sortable(keys: pa.Array) -> pa.Array:
    """Keys in the type in which they are compared; equal where the keys are equal."""
    kind = sortable_type(keys.type)
    if types.is_temporal(keys.type):
        return keys.view(kind)
    return keys.cast(kind)


def restored(keys: pa.Array, kind: pa.DataType) -> pa.Array:
    """Sortable keys in the type that they had."""
    if types.is_temporal(kind):
        return keys.cast(sortable_type(kind)).view(kind)
    return keys.cast(kind)
