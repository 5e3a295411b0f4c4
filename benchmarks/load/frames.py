"""HTTP/2 frames, written and read by hand (RFC 9113), with headers in plain literals (RFC 7541).

Owns the bytes of a frame. Knows neither gRPC nor the state of a connection.
"""

import re
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0x0
HEADERS = 0x1
RST_STREAM = 0x3
SETTINGS = 0x4
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
# gRPC's own.
TRUE_BINARY_METADATA = 0xFE03

DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
# Every peer has to take frames of this many bytes.
LARGEST_PAYLOAD = 16_384

_CANCEL = 0x8
_PREFIX = 0x7F
# Length in 8 + 16 bits, kind, flags, stream.
HEADER = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")
_WORD = struct.Struct(">I")
_GOAWAY = struct.Struct(">II")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame; the payload has at most LARGEST_PAYLOAD bytes."""
    return HEADER.pack(0, len(payload), kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame of setting numbers and their values."""
    payload = b"".join(_SETTING.pack(number, value) for number, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> dict[int, int]:
    """Setting numbers and values of a SETTINGS frame."""
    return dict(_SETTING.iter_unpack(payload))


def window_update(stream: int, increment: int) -> bytes:
    """Lets the peer send `increment` bytes more; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def read_word(payload: bytes) -> int:
    """The one number of a WINDOW_UPDATE (its increment) or RST_STREAM (its error code)."""
    (value,) = _WORD.unpack(payload)
    return int(value)


def read_goaway(payload: bytes) -> tuple[int, bytes]:
    """Error code and debug text of a GOAWAY frame."""
    _, code = _GOAWAY.unpack_from(payload)
    return code, payload[_GOAWAY.size :]


def headers(stream: int, fields: dict[str, str]) -> bytes:
    """A HEADERS frame that opens a stream, each field a literal that no table remembers."""
    block = b"".join(_literal(name.encode(), value.encode()) for name, value in fields.items())
    return frame(HEADERS, END_HEADERS, stream, block)


def reset(stream: int) -> bytes:
    """Ends a stream without a reason (CANCEL)."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(_CANCEL))


def split(data: bytes) -> tuple[list[tuple[int, int, int, bytes]], bytes]:
    """Kind, flags, stream and payload of each whole frame, and the bytes behind the last."""
    found, position = [], 0
    while len(data) - position >= HEADER.size:
        high, low, kind, flags, stream = HEADER.unpack_from(data, position)
        start = position + HEADER.size
        end = start + (high << 16) + low
        if end > len(data):
            break
        found.append((kind, flags, stream, data[start:end]))
        position = end
    return found, data[position:]


def value(block: bytes, name: bytes) -> bytes:
    """The literal behind a name in a header block; nothing where it has none."""
    _, found, rest = block.partition(name)
    if not found:
        return b""
    # Seven bits of length; where all are set, more follow, seven in each byte (RFC 7541, 5.1).
    size, start = rest[0] & _PREFIX, 1
    if size == _PREFIX:
        for shift in range(0, 28, 7):
            size += (rest[start] & 0x7F) << shift
            start += 1
            if not rest[start - 1] & 0x80:
                break
    return rest[start : start + size]


def readable(block: bytes) -> str:
    """What a person can read of a header block; its coding is not undone."""
    return " ".join(text.decode() for text in re.findall(rb"[ -~]{3,}", block))


def _literal(name: bytes, value: bytes) -> bytes:
    """A field without indexing and without Huffman coding; both parts under 127 bytes."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value
