"""Whether a question that came to nothing is asked again, and where.

Owns what may be asked twice. Whatever only reads may: it is asked again until it is answered, as a
stream that broke is opened again. What changes something (an import, a fork, a close) is asked
again only where it is sure that nothing was done. Knows nothing of gRPC, and does not wait itself.
"""

import time
from collections.abc import Callable, Sequence

from statewise_client.errors import (
    ConnectionBroken,
    ConnectionFailed,
    StatewiseError,
    StreamEnded,
    StreamFailed,
)
from statewise_client.reconnect import Recovery, mends

# Refusals of a server that has done nothing, and would soon or elsewhere.
_NOTHING_DONE = ("SERVER_STOPPING", "STREAM_BUSY")


class Asking:
    """One question's way from server to server.

    Attributes:
        target: which one is asked next.
    """

    def __init__(
        self,
        targets: Sequence[str],
        seconds: float,
        *,
        reads: bool,
        met: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins with the first server.

        Args:
            targets: all of them.
            seconds: for which a question is asked again whose call broke; 0: not at all.
            reads: whether it changes nothing.
            met: whether a server has answered before, so that one is known to be there.
            clock: seconds.
        """
        self.target, *self._untried = targets
        self._reads = reads
        self._met = met
        self._recovery = Recovery(targets, self.target, seconds, clock=clock)

    def after(self, error: StatewiseError) -> float:
        """What follows a failure: the next `target`, and seconds to wait before it is asked.

        Raises:
            StatewiseError: the same, where it is not asked again.
        """
        if not self._reads and _may_be_done(error):
            raise error
        if _passes(error) or (self._met and isinstance(error, ConnectionFailed)):
            self._met = True
            return self._pause(error)
        if isinstance(error, ConnectionFailed) and self._untried:
            self.target = self._untried.pop(0)
            return 0.0
        raise error

    def answered(self) -> None:
        """Takes note that the question is answered."""
        self._recovery.target = self.target
        self._recovery.went_on()

    def _pause(self, error: StatewiseError) -> float:
        self._recovery.target = self.target
        try:
            pause = self._recovery.after(error, "", 0)
        except StreamFailed:
            raise error from None
        self.target = self._recovery.target
        return pause


def _passes(error: StatewiseError) -> bool:
    """Whether a server was there that could not answer just now."""
    if isinstance(error, StreamEnded) and error.reason:
        return error.reason in _NOTHING_DONE
    return isinstance(error, ConnectionBroken) or (
        isinstance(error, StreamEnded) and mends(error) and error.code != "RESOURCE_EXHAUSTED"
    )


def _may_be_done(error: StatewiseError) -> bool:
    """Whether the question may have reached a server that did as it was asked."""
    if isinstance(error, ConnectionFailed):
        return error.begun
    return isinstance(error, StreamEnded) and not error.reason and mends(error)
