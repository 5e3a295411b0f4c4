"""The chunks that a stream may have to send again.

Owns how many of them are kept: each until the server has stored the state behind it, and no more
bytes than it was told. Knows nothing of why a chunk is sent again.
"""

from collections import deque
from typing import NamedTuple

from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage

# 64 MiB: a minute of the widest streams between two checkpoints, and a bound for a server that
# stores nothing.
REPLAY_BYTES = 64 * 1024 * 1024


class _Kept(NamedTuple):
    sequence: int
    size: int
    message: ClientMessage


class Replay:
    """Chunks in the order of their numbers, without a gap."""

    def __init__(self, max_bytes: int) -> None:
        """Begins empty.

        Args:
            max_bytes: of chunks' data; 0 keeps nothing.
        """
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: deque[_Kept] = deque()

    def keep(self, sequence: int, size: int, message: ClientMessage) -> None:
        """Keeps a chunk; beyond the bound the oldest are let go.

        Args:
            sequence: one more than the last one's.
            size: bytes of its data.
            message: carries the chunk.
        """
        self._kept.append(_Kept(sequence, size, message))
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= self._kept.popleft().size

    def forget(self, sequence: int) -> None:
        """Lets the chunks up to a number go."""
        while self._kept and self._kept[0].sequence <= sequence:
            self._bytes -= self._kept.popleft().size

    def withdraw(self, sequence: int) -> None:
        """Takes back the chunks from a number on: others will bear their numbers."""
        while self._kept and self._kept[-1].sequence >= sequence:
            self._bytes -= self._kept.pop().size

    def lowest(self, otherwise: int) -> int:
        """The lowest number that is kept."""
        return self._kept[0].sequence if self._kept else otherwise

    def since(self, sequence: int) -> list[ClientMessage]:
        """What carries the chunks from a number on."""
        return [kept.message for kept in self._kept if kept.sequence >= sequence]
