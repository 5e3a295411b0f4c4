"""Messages as nobody's client makes them: any fields, the largest numbers, and bytes that are off.

Owns the strategies; knows of no service.
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_DEEPEST = 4
_TEXTS = st.one_of(
    st.sampled_from(["", "random", "1", "input", "FP32", "float32", "(2,f4", "x" * 100_000, "\0"]),
    st.text(max_size=8),
)
_BYTES = st.one_of(st.sampled_from([b"", bytes(20), bytes(100_000)]), st.binary(max_size=64))
_FLOATS = st.floats(width=32, allow_subnormal=False)


def _whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.sampled_from([low, high]), st.integers(0, 6))


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[object]:
    """One value of a field."""
    kinds = FieldDescriptor
    if field.type == kinds.TYPE_MESSAGE:
        return messages(field.message_type, depth + 1)
    if field.type == kinds.TYPE_ENUM:
        return st.sampled_from([*field.enum_type.values_by_number, 99])
    return {
        kinds.CPPTYPE_STRING: _BYTES if field.type == kinds.TYPE_BYTES else _TEXTS,
        kinds.CPPTYPE_BOOL: st.booleans(),
        kinds.CPPTYPE_FLOAT: _FLOATS,
        kinds.CPPTYPE_DOUBLE: st.floats(allow_subnormal=False),
        kinds.CPPTYPE_INT32: _whole(32, signed=True),
        kinds.CPPTYPE_INT64: _whole(64, signed=True),
        kinds.CPPTYPE_UINT32: _whole(32, signed=False),
        kinds.CPPTYPE_UINT64: _whole(64, signed=False),
    }[field.cpp_type]


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """A message of a kind with some of its fields set."""
    message = GetMessageClass(descriptor)()
    fields = list(descriptor.fields) if depth < _DEEPEST else []
    for field in draw(st.lists(st.sampled_from(fields), unique=True)) if fields else []:
        one = _value(field, depth)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            _fill_map(draw, getattr(message, field.name), entry, depth)
        elif field.is_repeated:
            values = draw(st.lists(one, max_size=3))
            getattr(message, field.name).extend(values)
        elif entry is not None:
            getattr(message, field.name).CopyFrom(draw(one))
        else:
            setattr(message, field.name, draw(one))
    return message


def _fill_map(draw: st.DrawFn, target: object, entry: Descriptor, depth: int) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for name in draw(st.lists(_value(key, depth), max_size=2, unique=True)):
        drawn = draw(_value(value, depth))
        if value.message_type is not None:
            target[name].CopyFrom(drawn)
        else:
            target[name] = drawn


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes with some of them changed, lost or put between."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        way = draw(st.sampled_from(["change", "cut", "drop", "insert"]))
        if way == "change":
            data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif way == "cut":
            del data[place:]
        elif way == "drop":
            del data[place : place + draw(st.integers(1, 9))]
        else:
            data[place:place] = draw(st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80", b"\0" * 4]))
    return bytes(data)


@st.composite
def requests(draw: st.DrawFn, descriptor: Descriptor) -> bytes:
    """The bytes of a request, most of them a message's."""
    whole = draw(messages(descriptor)).SerializeToString()
    return draw(st.one_of(st.just(whole), st.just(whole), damaged(whole), st.binary(max_size=40)))
