"""Time that a test moves by hand."""

import asyncio
import heapq
from collections.abc import Callable


class Clock:
    """Seconds, for whoever is given a clock."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class LoopClock:
    """The clock of an event loop, and what is to happen later."""

    def __init__(self) -> None:
        self.now = 0.0
        self._later: list[tuple[float, int, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (when, id(act), act))

    def call_later(self, seconds: float, act: Callable[[], None]) -> None:
        self.call_at(self.now + seconds, act)

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._later and self._later[0][0] <= end:
            self.now, _, act = heapq.heappop(self._later)
            act()
        self.now = end
