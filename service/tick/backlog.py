"""The steps that wait for their tick, in order, and how long they have waited.

Owns the queue, and for whole chunks one a length, since a call has one shape. Time is kept for
every put and not for every step, since a put may bring hundreds. Knows nothing of engines or
streams.
"""

from collections import deque
from collections.abc import Sequence

from service.tick.ready import Ready


class Backlog:
    """Steps in the order in which they came."""

    def __init__(self) -> None:
        """Starts empty."""
        self._ready: deque[Ready] = deque()
        # When a put was, and how many of its steps still wait.
        self._arrivals: deque[tuple[int, int]] = deque()
        self._dropped = False

    def __len__(self) -> int:
        """Number of steps that wait."""
        return len(self._ready)

    @property
    def steps(self) -> int:
        """Of each that is taken next."""
        return 1

    @property
    def oldest(self) -> int:
        """When the first of those that wait was put."""
        return self._arrivals[0][0]

    def put(self, batch: Sequence[Ready], now: int) -> None:
        """Queues steps behind all others; `now` in nanoseconds."""
        self._ready.extend(batch)
        self._arrivals.append((now, len(batch)))

    def drop(self, ready: Ready) -> None:
        """Leaves a step out, wherever it stands."""
        ready.dropped = True
        ready.then = None
        self._dropped = True

    def take(self, most: int, now: int) -> tuple[list[Ready], int]:
        """The next batch, those that have waited longest.

        Args:
            most: number of steps at most; fewer where fewer wait.
            now: in nanoseconds.

        Returns:
            The steps, without those that were dropped, and the nanoseconds that all of them
            together have waited.
        """
        batch, waited = self._pop(most, now)
        if self._dropped:
            batch = [ready for ready in batch if not ready.dropped]
            while self._ready and len(batch) < most:
                more, longer = self._pop(most - len(batch), now)
                batch += [ready for ready in more if not ready.dropped]
                waited += longer
            self._dropped = bool(self._ready)
        return batch, waited

    def _pop(self, most: int, now: int) -> tuple[list[Ready], int]:
        waiting, arrivals = self._ready, self._arrivals
        if len(waiting) <= most:
            batch = list(waiting)
            waited = sum([(now - came) * count for came, count in arrivals])
            waiting.clear()
            arrivals.clear()
            return batch, waited
        batch = [waiting.popleft() for _ in range(most)]
        left, waited = most, 0
        while left:
            came, count = arrivals.popleft()
            taken = min(left, count)
            waited += (now - came) * taken
            left -= taken
            if taken < count:
                arrivals.appendleft((came, count - taken))
        return batch, waited


class Lengths:
    """Whole chunks, of which those of one length are taken together; the oldest says which."""

    def __init__(self) -> None:
        """Starts empty."""
        self._waiting: dict[int, Backlog] = {}

    def __len__(self) -> int:
        """Number of chunks that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def steps(self) -> int:
        """Of each that is taken next."""
        return min(self._waiting, key=lambda steps: self._waiting[steps].oldest, default=1)

    def put(self, batch: Sequence[Ready], now: int) -> None:
        """Queues chunks behind all others; `now` in nanoseconds."""
        for ready in batch:
            self._waiting.setdefault(ready.steps, Backlog()).put((ready,), now)

    def drop(self, ready: Ready) -> None:
        """Leaves a chunk out, wherever it stands."""
        ready.dropped = True
        if ready.steps in self._waiting:
            self._waiting[ready.steps].drop(ready)

    def take(self, most: int, now: int) -> tuple[list[Ready], int]:
        """The next batch, as `Backlog.take`."""
        if not self._waiting:
            return [], 0
        steps = self.steps
        batch, waited = self._waiting[steps].take(most, now)
        if not self._waiting[steps]:
            del self._waiting[steps]
        return batch, waited
