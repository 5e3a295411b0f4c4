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
        _fill(draw, message, field, depth)
    return message


@st.composite
def altered(draw: st.DrawFn, whole: Message) -> Message:
    """A valid message of which a few fields, however deep, are others."""
    message = type(whole)()
    message.CopyFrom(whole)
    for _ in range(draw(st.integers(1, 3))):
        _alter(draw, message)
    return message


def _alter(draw: st.DrawFn, message: Message) -> None:
    """Another value for one field, most often for one that is set, or within it."""
    there = [field for field, _ in message.ListFields()]
    fields = there if there and draw(st.integers(0, 3)) else list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = draw(st.sampled_from(fields))
    value = getattr(message, field.name)
    if field.message_type is None or _is_map(field) or not draw(st.integers(0, 3)):
        if not (field.is_repeated and draw(st.booleans())):
            message.ClearField(field.name)
        _fill(draw, message, field, _DEEPEST - 1)
    elif field.is_repeated:
        if value:
            _alter(draw, draw(st.sampled_from(list(value))))
    else:
        _alter(draw, value)


def _fill(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    one = _value(field, depth)
    if _is_map(field):
        _fill_map(draw, getattr(message, field.name), field.message_type, depth)
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(one, max_size=3)))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(draw(one))
    else:
        setattr(message, field.name, draw(one))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


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
