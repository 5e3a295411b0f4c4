"""Which server a stream asks next when its call has broken, when, and for how long.

Owns the order of the targets, the pauses between tries, and which failures another try may mend.
Knows nothing of gRPC, and does not wait itself.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence

from statewise_client.errors import ConnectionFailed, StatewiseError, StreamEnded, StreamFailed

_log = logging.getLogger(__name__)

# Seconds without a new result after which a stream that can't go on is given up: a server that was
# killed is back by then, with its models loaded.
RESUME_SECONDS = 60.0
# The first pause is up to 50 ms, each round doubles it, none is above 2 s: a server that comes back
# is found soon, and is not overrun by all its streams at once.
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_DOUBLINGS = 16

# Who goes on with a stream elsewhere is not to be disturbed.
_TAKEN_OVER = "TAKEN_OVER"
_LOST = ("UNAVAILABLE", "CANCELLED")
# What a proxy says that has lost its server, and grpc.aio where a write meets the end of the call.
_BROKEN = ("RST_STREAM", "Internal error from Core")


def mends(error: StatewiseError) -> bool:
    """Whether another try, here or at another server, may do better."""
    if isinstance(error, ConnectionFailed):
        return True
    if not isinstance(error, StreamEnded) or error.reason == _TAKEN_OVER:
        return False
    if error.code == "RESOURCE_EXHAUSTED":
        return error.retry_after is not None
    if error.code == "INTERNAL" and not error.reason:
        return any(words in error.message for words in _BROKEN)
    return error.code in _LOST


class Recovery:
    """One stream's way from server to server.

    Attributes:
        target: which one it is on, or tries next.
    """

    def __init__(
        self,
        targets: Sequence[str],
        target: str,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Begins on a server.

        Args:
            targets: all of them.
            target: the one among them on which the stream is open.
            seconds: after a stream broke, or got its last new result, until it is given up; 0 gives
                it up at once.
            clock: seconds.
            uniform: a random number between two others.
        """
        self.target = target
        self._targets = tuple(targets)
        self._seconds = seconds
        self._clock = clock
        self._uniform = uniform
        self._tries = 0
        self._since = 0.0
        self._received = -1
        self._is_lost = False
        self._not_before = dict.fromkeys(targets, 0.0)

    def after(self, error: StatewiseError, stream_id: str, received: int) -> float:
        """What follows a failure: the next `target`, and a pause before it is tried.

        Args:
            error: how the call ended, or why it was not opened again.
            stream_id: for the message.
            received: the highest number whose result has arrived. A stream that breaks again
                without a new one is given up in the end, however often it is opened again.

        Returns:
            Seconds to wait.

        Raises:
            StreamFailed: no try may mend it, or the time is up.
        """
        now = self._clock()
        if received > self._received:
            self._received, self._since, self._tries = received, now, 0
        if not mends(error):
            raise _final(error, stream_id)
        retry_after = error.retry_after if isinstance(error, StreamEnded) else None
        if retry_after is not None:
            self._not_before[self.target] = now + retry_after
        lost, self.target = self.target, self._next(now)
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._round, _DOUBLINGS))
        pause = max(self._uniform(0.0, longest), self._not_before[self.target] - now)
        self._tries += 1
        if not self._seconds or now + pause > self._since + self._seconds:
            raise self._given_up(error, stream_id)
        if not self._is_lost:
            self._is_lost = True
            _log.info("the connection to %s is lost; trying again for %g s", lost, self._seconds)
        return pause

    def went_on(self) -> None:
        """Takes note that the last try did it."""
        if self._is_lost:
            self._is_lost = False
            _log.info("it goes on with %s", self.target)

    @property
    def _round(self) -> int:
        return self._tries // len(self._targets)

    def _next(self, now: float) -> str:
        """The same one first, since the state is there; then in turn, who asks for time last."""
        place = self._targets.index(self.target) + (1 if self._tries else 0)
        turn = [self._targets[(place + k) % len(self._targets)] for k in range(len(self._targets))]
        return min(turn, key=lambda target: max(0.0, self._not_before[target] - now))

    def _given_up(self, error: StatewiseError, stream_id: str) -> StreamFailed:
        final = _final(error, stream_id)
        if not self._seconds:
            return final
        return StreamFailed(
            final.code,
            f"{final.message}; given up after {self._tries} tries within {self._seconds:g} s",
            reason=final.reason,
            metadata=final.metadata,
            retry_after=final.retry_after,
        )


def _final(error: StatewiseError, stream_id: str) -> StreamFailed:
    if isinstance(error, StreamFailed):
        return error
    if not isinstance(error, StreamEnded):
        return StreamFailed("UNAVAILABLE", f"stream {stream_id!r} was ended: {error}")
    return StreamFailed(
        error.code,
        f"stream {stream_id!r} can't go on: {error.message}",
        reason=error.reason,
        metadata=error.metadata,
        retry_after=error.retry_after,
    )
