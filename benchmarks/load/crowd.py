"""Callers that a full server refuses, who come again when it has told them to.

Owns their calls on one HTTP/2 connection, bytes in and bytes out, and what each refusal said: its
status, its retry hint, how long it took. Knows nothing of sockets or of the streams that were
admitted.
"""

import heapq
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from benchmarks.errors import LoadError
from benchmarks.load import frames
from benchmarks.load.connection import request_headers
from benchmarks.load.conversation import Conversation, Wire
from protos.statewise.v1.status_pb2 import RetryInfo, Status

_EXHAUSTED = b"grpc-status\x018"
_DETAILS = b"grpc-status-details-bin"
_NS = 1e9


@dataclass
class Refusals:
    """What the callers were told.

    Attributes:
        nanoseconds: from each open to its refusal.
        otherwise: those that were not RESOURCE_EXHAUSTED, or brought no retry hint.
        let_in: opens that were not refused.
    """

    nanoseconds: list[int] = field(default_factory=list)
    otherwise: int = 0
    let_in: int = 0


class Crowd:
    """So many callers, each with one call under way or waiting to come again.

    Attributes:
        refusals: so far.
        open_streams, sent: of a connection, none that anybody has to wait for or that is timed.
    """

    open_streams = 0
    sent: tuple[Conversation, ...] = ()

    def __init__(self, callers: int, wire: Wire, authority: str) -> None:
        """Prepares what they all send when they come.

        To make it takes milliseconds, in which no stream would be served.

        Args:
            callers: how many.
            wire: whose first message each of them sends.
            authority: the server's host:port.
        """
        self.refusals = Refusals()
        self._headers = request_headers(wire.path, authority)
        message = wire.open()
        self._message = b"\0" + len(message).to_bytes(4, "big") + message
        self._waiting: list[int] = []
        self._opened: dict[int, int] = {}
        self._next_stream = 1
        self._greeted = False
        self._rest = b""
        self._all_at_once = b"".join(self._call(0) for _ in range(callers))

    def greet(self) -> bytes:
        """The client's preface; nobody opens before the server has sent its settings."""
        # Binary trailers then come as they are, instead of as base64 in a Huffman code.
        return frames.PREFACE + frames.settings(
            {frames.HEADER_TABLE_SIZE: 0, frames.TRUE_BINARY_METADATA: 1}
        )

    def come(self, now: int) -> bytes:
        """The opens of all, who come at once.

        Raises:
            LoadError: the server has not sent its settings yet.
        """
        if not self._greeted:
            raise LoadError("the server has not answered a connection yet; measure for longer")
        self._opened = dict.fromkeys(self._opened, now)
        return self._all_at_once

    def due(self, now: int) -> bytes:
        """The opens of those whose time to come again is here, in one piece."""
        out = []
        while self._waiting and self._waiting[0] <= now:
            heapq.heappop(self._waiting)
            out.append(self._call(now))
        return b"".join(out)

    def _call(self, now: int) -> bytes:
        """One caller's open."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._opened[stream] = now
        return frames.headers(stream, self._headers) + frames.frame(
            frames.DATA, 0, stream, self._message
        )

    def receive(self, data: bytes, now: int) -> bytes:
        """Takes what the socket gave and returns what it shall send.

        Raises:
            LoadError: the server ended the connection.
        """
        found, self._rest = frames.split(self._rest + data)
        return b"".join(self._on_frame(*one, now) for one in found)

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes, now: int) -> bytes:
        match kind:
            case frames.HEADERS if flags & frames.END_STREAM:
                self._on_refusal(stream, payload, now)
            case frames.SETTINGS if not flags & frames.ACK:
                self._greeted = True
                return frames.frame(frames.SETTINGS, frames.ACK, 0, b"")
            case frames.PING if not flags & frames.ACK:
                return frames.frame(frames.PING, frames.ACK, 0, payload)
            case frames.DATA if stream in self._opened:
                return self._on_entry(stream, now)
            case frames.RST_STREAM if stream in self._opened:
                self._on_refusal(stream, b"", now)
            case frames.GOAWAY:
                raise LoadError("the server left a connection of callers that it has no room for")
        return b""

    def _on_refusal(self, stream: int, trailers: bytes, now: int) -> None:
        opened = self._opened.pop(stream, None)
        if opened is None:
            return
        hint = retry_seconds(trailers)
        self.refusals.nanoseconds.append(now - opened)
        if hint is None or _EXHAUSTED not in trailers:
            self.refusals.otherwise += 1
        heapq.heappush(self._waiting, now + int((hint or 1.0) * _NS))

    def _on_entry(self, stream: int, now: int) -> bytes:
        """Leaves at once, and comes again after a second: this crowd is here to be refused."""
        del self._opened[stream]
        self.refusals.let_in += 1
        heapq.heappush(self._waiting, now + int(_NS))
        return frames.reset(stream)


def retry_seconds(trailers: bytes) -> float | None:
    """The retry hint in a header block; None where it has none."""
    raw = frames.value(trailers, _DETAILS)
    if not raw:
        return None
    # A zero says that what follows is no base64.
    status = Status.FromString(raw[1:])
    for detail in status.details:
        if detail.type_url.endswith("RetryInfo"):
            delay: Duration = RetryInfo.FromString(detail.value).retry_delay
            return delay.ToNanoseconds() / _NS
    return None
