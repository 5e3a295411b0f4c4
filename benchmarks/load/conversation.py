"""One stream's side of the conversation: when the next step is sent, and what came of the last.

Owns the order: a first message, steps, a last message; every output that came back, so that all of
them can be checked when the clock has stopped; and how long each took. What the messages look like
is the wire's affair. Knows nothing of HTTP/2 or sockets.
"""

from collections import deque
from typing import Protocol


class Wire(Protocol):
    """How a protocol says what one stream has to say.

    A Protocol, since the servers that are compared speak several.

    Attributes:
        path: the gRPC method.
    """

    path: str

    def open(self) -> bytes:
        """The first message."""

    def step(self) -> bytes:
        """The message of the next step."""

    def close(self) -> bytes:
        """The last message."""

    def read(self, message: bytes) -> bytes | None:
        """The outputs of a step that the server answers; None for an answer without any.

        Raises:
            LoadError: it is not the answer to what was sent.
        """


class Conversation:
    """A stream that sends its next step as soon as the last one is answered, or when it is told to.

    Attributes:
        path: the gRPC method.
        sent_at: when the message in flight was sent, in nanoseconds.
        paced: whether all steps but the first are sent by `post` alone.
        stopping: set it, and the next answer is followed by the last message.
        closing: whether the last message was sent.
        outputs: data of every result, in order.
    """

    def __init__(self, wire: Wire, latencies: list[int], *, paced: bool = False) -> None:
        """Prepares a stream.

        Args:
            wire: of this stream alone.
            latencies: where the time of every step is appended, in nanoseconds.
            paced: whether all steps but the first are sent by `post` alone.
        """
        self.path = wire.path
        self.sent_at = 0
        self.paced = paced
        self.stopping = False
        self.closing = False
        self.outputs: list[bytes] = []
        self._wire = wire
        self._latencies = latencies
        # When the steps that were posted and not yet answered were due.
        self._due: deque[int] = deque()

    def open(self) -> bytes:
        """The first message."""
        return self._wire.open()

    def answer(self, message: bytes, now: int) -> bytes | None:
        """Takes the server's message and gives the next one to send, None where there is none yet.

        Args:
            message: of the server.
            now: when it arrived, in nanoseconds.

        Raises:
            LoadError: it is not the answer to what was sent.
        """
        data = self._wire.read(message)
        if data is not None:
            # By when it was due, so that a server that holds up its caller is not flattered.
            self._latencies.append(now - (self._due.popleft() if self._due else self.sent_at))
            self.outputs.append(data)
        if self.closing or self._due:
            return None
        if self.stopping:
            return self.close()
        return None if self.paced and self.outputs else self._wire.step()

    def post(self, due: int) -> bytes:
        """The next step of a paced stream, whether the last one is answered or not.

        Args:
            due: when it was to be sent, in nanoseconds.
        """
        self._due.append(due)
        return self._wire.step()

    @property
    def resting(self) -> bool:
        """Whether nothing is under way, so that no answer will follow."""
        return self.paced and bool(self.outputs) and not self._due and not self.closing

    def close(self) -> bytes:
        """The last message."""
        self.closing = True
        return self._wire.close()
