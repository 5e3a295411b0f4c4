"""How much one caller may hold and take: open streams, and steps a second.

Owns the counts of each caller, by the name of its identity; who that is, is `access`'s to say. A
caller over its rate is refused at once and told when to come again, so that nothing of it waits in
memory. Knows nothing of streams beyond their number.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.appointments import Appointments
from service.errors import Exhausted, RateExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller may have.

    Attributes:
        streams: open at the same time.
        steps_per_second: on average over a second; 0 for no limit.
    """

    streams: int
    steps_per_second: float = 0.0


class Quota:
    """One caller's limits and what it has of them.

    Attributes:
        limits: as they stand now; a change holds from the next stream or step on.
        rated: whether steps have to be asked for.
        streams: open now.
        calls: open now that carry requests of any streams; as many as there may be streams.
    """

    __slots__ = (
        "_appointments",
        "_clock",
        "_filled",
        "_level",
        "calls",
        "limits",
        "rated",
        "streams",
    )

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """Starts with nothing open and a second's worth of steps."""
        self._clock = clock
        self._filled = clock()
        self._appointments = Appointments(clock)
        self.streams = self.calls = 0
        self.set(limits)
        self._level = limits.steps_per_second

    def set(self, limits: Limits) -> None:
        """Changes the limits; what is open stays open."""
        self.limits = limits
        self.rated = limits.steps_per_second > 0

    def enter(self) -> None:
        """Counts a stream that opens.

        Raises:
            Exhausted: the caller has as many as it may.
        """
        self._check(self.streams, "streams")
        self.streams += 1

    def leave(self) -> None:
        """Counts a stream that closed."""
        self.streams -= 1

    def enter_call(self) -> None:
        """Counts a call for requests of any streams, each of which holds memory of its own.

        Raises:
            Exhausted: the caller has as many as it may.
        """
        self._check(self.calls, "inference calls")
        self.calls += 1

    def leave_call(self) -> None:
        """Counts such a call that is over."""
        self.calls -= 1

    def _check(self, count: int, what: str) -> None:
        if count >= self.limits.streams:
            raise Exhausted(
                f"{count} {what} are open for this caller, as many as it may have; close one first",
                reason="CALLER_STREAMS",
                retry_after=self._appointments.next(),
                max_streams=self.limits.streams,
            )

    def take(self, steps: int) -> None:
        """Counts steps; for callers that are `rated`.

        Whoever is within its rate may take a chunk of any length, and waits the longer after it:
        otherwise a chunk of more than a second's steps could never be taken.

        Raises:
            RateExceeded: the caller is over its rate.
        """
        rate, now = self.limits.steps_per_second, self._clock()
        self._level = min(rate, self._level + (now - self._filled) * rate)
        self._filled = now
        if self._level <= 0:
            raise RateExceeded(
                f"more than {rate:g} steps a second for this caller; send the same again later",
                reason="CALLER_RATE",
                retry_after=(1 - self._level) / rate,
                max_steps_per_second=f"{rate:g}",
            )
        self._level -= steps


class Quotas:
    """The quota of each caller, by name."""

    def __init__(self, default: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts without callers.

        Args:
            default: limits of callers of whom nothing else is said.
            clock: seconds.
        """
        self._default = default
        self._clock = clock
        self._all: dict[str, Quota] = {}

    def of(self, name: str) -> Quota:
        """The quota of a caller, made at the first call."""
        quota = self._all.get(name)
        if quota is None:
            quota = self._all[name] = Quota(self._default, self._clock)
        return quota

    def limit(self, name: str, streams: int | None, steps_per_second: float) -> None:
        """Sets a caller's limits; None for the server's own on streams."""
        allowed = self._default.streams if streams is None else streams
        self.of(name).set(Limits(allowed, steps_per_second))
