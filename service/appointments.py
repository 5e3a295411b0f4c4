"""When those who were refused shall come again: one after the other, and not too many a second.

Owns the one rule behind `retry_after` where something is full. Each that is refused is told a time
of its own: a refusal takes the server half a millisecond that open streams wait for, so that a
crowd which comes again at a pace of its own would slow down those who are in. Where something
becomes free, somebody is there soon, since one is due every few hundredths of a second. Nobody has
to keep the appointment, and nobody is kept a place. Knows nothing of what is full.
"""

import math
import time
from collections.abc import Callable

# A server that is full for a moment is asked again soon.
_SOONEST_SECONDS = 1.0
# Fifty refusals a second take a fortieth of a core.
_APART_SECONDS = 0.02
# Nobody waits longer: a crowd of more than 1,450 shares the later half, and costs the more.
_LATEST_SECONDS = 30.0


class Appointments:
    """The times at which those who were refused come again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Has told nobody.

        Args:
            clock: seconds.
        """
        self._clock = clock
        self._last = -math.inf

    def next(self) -> float:
        """Seconds after which one more may come again, from 1 to 30."""
        now = self._clock()
        self._last = max(now + _SOONEST_SECONDS, self._last + _APART_SECONDS)
        if self._last > now + _LATEST_SECONDS:
            self._last = now + _LATEST_SECONDS / 2
        return self._last - now
