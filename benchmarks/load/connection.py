"""One HTTP/2 connection that carries gRPC streams: bytes in, bytes out, no socket.

Owns the client's side of RFC 9113 as far as it is needed here: settings, flow control in both
directions, pings, the gRPC length prefix, and how a stream or a connection ends. Knows nothing of
what the messages say.

A library such as `h2` would do all of this and more, but takes 13 us to receive and to send a
message, its own checks switched off, where this takes 3: a client has to be much cheaper than the
servers that it measures.
"""

import struct

from benchmarks.errors import LoadError
from benchmarks.load import frames
from benchmarks.load.conversation import Conversation

_STATUS_OK = b"grpc-status\x010"
# Length in 8 + 16 bits, kind, flags, stream; compressed or not, message length.
_MESSAGE = struct.Struct(">BHBBIBI")
_PREFIX_BYTES = 5
# Each stream may receive frames.LARGEST_WINDOW bytes in its life, some 40 million steps; only the
# connection's window is filled up again, once this much of it is used.
_REPLENISH = 2**30


class Connection:
    """A connection and the conversations on it, one a stream.

    Attributes:
        open_streams: how many streams have not ended yet.
        sent: the conversations whose next message is in the bytes that `receive` gave last.
    """

    def __init__(self, conversations: list[Conversation], authority: str) -> None:
        """Prepares a connection; `authority` is the server's host:port."""
        self.open_streams = len(conversations)
        self.sent: list[Conversation] = []
        # A client's streams have odd numbers.
        self._conversations = {1 + 2 * i: one for i, one in enumerate(conversations)}
        self._numbers = {id(one): stream for stream, one in self._conversations.items()}
        self._authority = authority
        self._rest = b""
        self._partial = dict.fromkeys(self._conversations, b"")
        self._out: list[bytes] = []
        self._blocked: list[tuple[int, bytes]] = []
        self._greeted = False
        self._initial_window = frames.DEFAULT_WINDOW
        self._window = frames.DEFAULT_WINDOW
        self._windows = dict.fromkeys(self._conversations, frames.DEFAULT_WINDOW)
        self._received = 0

    def greet(self) -> bytes:
        """The client's preface; the streams open when the server has sent its settings."""
        return (
            frames.PREFACE
            + frames.settings(
                {
                    # Trailers then come as literals, readable without a table.
                    frames.HEADER_TABLE_SIZE: 0,
                    frames.ENABLE_PUSH: 0,
                    frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW,
                }
            )
            + frames.window_update(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW)
        )

    def receive(self, data: bytes, now: int) -> bytes:
        """Takes what the socket gave and returns what it shall send, in one piece.

        Args:
            data: any piece of the byte stream.
            now: when it arrived, in nanoseconds.

        Raises:
            LoadError: the server ended a stream or the connection, or broke the wire.
        """
        self.sent = []
        data = self._rest + data
        position, size = 0, len(data)
        while size - position >= frames.HEADER.size:
            high, low, kind, flags, stream = frames.HEADER.unpack_from(data, position)
            start = position + frames.HEADER.size
            end = start + (high << 16) + low
            if end > size:
                break
            if kind == frames.DATA:
                self._on_data(stream, flags, data[start:end], now)
            else:
                self._on_control(kind, flags, stream, data[start:end])
            position = end
        self._rest = data[position:]
        out = b"".join(self._out)
        self._out.clear()
        return out

    def post(self, conversation: Conversation, message: bytes) -> bytes:
        """A message that answers none; returns the bytes to send, in one piece."""
        stream = self._numbers[id(conversation)]
        self._send(stream, message, frames.END_STREAM if conversation.closing else 0)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _on_data(self, stream: int, flags: int, payload: bytes, now: int) -> None:
        if flags & frames.PADDED:
            raise LoadError(f"stream {stream}: a padded frame, which no gRPC server sends")
        self._received += len(payload)
        if self._received > _REPLENISH:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0
        data = self._partial[stream] + payload
        while len(data) >= _PREFIX_BYTES:
            end = _PREFIX_BYTES + int.from_bytes(data[1:_PREFIX_BYTES], "big")
            if len(data) < end:
                break
            self._on_message(stream, data[_PREFIX_BYTES:end], now)
            data = data[end:]
        self._partial[stream] = data

    def _on_message(self, stream: int, message: bytes, now: int) -> None:
        conversation = self._conversations[stream]
        reply = conversation.answer(message, now)
        if reply is not None:
            self.sent.append(conversation)
            self._send(stream, reply, frames.END_STREAM if conversation.closing else 0)

    def _send(self, stream: int, message: bytes, flags: int) -> None:
        size = _PREFIX_BYTES + len(message)
        if size > frames.LARGEST_PAYLOAD:
            raise LoadError(f"a message has {size} bytes, over {frames.LARGEST_PAYLOAD}")
        head = _MESSAGE.pack(0, size, frames.DATA, flags, stream, 0, len(message))
        self._transmit(stream, head + message)

    def _transmit(self, stream: int, frame: bytes) -> None:
        """Sends a DATA frame, or keeps it until the server's windows let it through."""
        size = len(frame) - frames.HEADER.size
        if size > self._window or size > self._windows[stream]:
            self._blocked.append((stream, frame))
            return
        self._window -= size
        self._windows[stream] -= size
        self._out.append(frame)

    def _on_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case frames.HEADERS if flags & frames.END_STREAM:
                self._on_trailers(stream, payload)
            case frames.SETTINGS if not flags & frames.ACK:
                self._on_settings(frames.read_settings(payload))
            case frames.WINDOW_UPDATE:
                self._on_window_update(stream, frames.read_word(payload))
            case frames.PING if not flags & frames.ACK:
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
            case frames.RST_STREAM:
                raise LoadError(f"the server reset stream {stream}: {frames.read_word(payload)}")
            case frames.GOAWAY:
                code, text = frames.read_goaway(payload)
                raise LoadError(f"the server left: error {code}, {text.decode(errors='replace')!r}")

    def _on_settings(self, values: dict[int, int]) -> None:
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
        window = values.get(frames.INITIAL_WINDOW_SIZE, self._initial_window)
        for stream in self._windows:
            self._windows[stream] += window - self._initial_window
        self._initial_window = window
        if not self._greeted:
            self._greeted = True
            self._open(values.get(frames.MAX_CONCURRENT_STREAMS, frames.LARGEST_WINDOW))
        self._unblock()

    def _open(self, limit: int) -> None:
        if limit < self.open_streams:
            raise LoadError(
                f"the server takes {limit} streams a connection, not {self.open_streams}: "
                "spread them over more --connections"
            )
        for stream, conversation in self._conversations.items():
            self._out.append(
                frames.headers(stream, request_headers(conversation.path, self._authority))
            )
            self._send(stream, conversation.open(), 0)
            self.sent.append(conversation)

    def _on_window_update(self, stream: int, increment: int) -> None:
        if stream == 0:
            self._window += increment
        elif stream in self._windows:
            self._windows[stream] += increment
        self._unblock()

    def _unblock(self) -> None:
        blocked, self._blocked = self._blocked, []
        for stream, frame in blocked:
            self._transmit(stream, frame)

    def _on_trailers(self, stream: int, block: bytes) -> None:
        if not self._conversations[stream].closing or _STATUS_OK not in block:
            raise LoadError(f"the server ended stream {stream}: {frames.readable(block)}")
        self.open_streams -= 1


def request_headers(path: str, authority: str) -> dict[str, str]:
    """What opens a call of a method at a host:port."""
    return {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }
