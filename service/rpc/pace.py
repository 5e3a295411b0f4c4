"""How fast newcomers are taken in while they have to be refused: a few every hundredth of a second.

Owns one rule of fairness, between a crowd that there is no room for and the streams that are in.
gRPC hands over one new call in a round of the event loop, and a refusal costs as much as several
steps: a full server that refuses as fast as it can makes every step wait for refusals, and a few
hundred callers who come at once take all that is left of a core. So behind one that was refused
newcomers take turns, a few together and the next ones later, until none has been refused for a
moment: the code that refuses is cold each time it is needed, and the second costs less than the
first. Nobody waits for more than a second: where there are many, more go together. Knows nothing of
messages or of what is full.
"""

import asyncio
import math
from collections import deque

# Measured without any other load, a fifth less processor time than one by one; many more would be a
# wait that the streams that are in notice.
_TOGETHER = 4
# A third of a thousand refusals a second.
_APART_SECONDS = 0.012
_LONGEST_SECONDS = 1.0
# Without a refusal for so long, there is room again, or nobody comes; far longer than a busy server
# takes from a turn to its refusal.
_FLOOD_SECONDS = 0.5


class Pace:
    """Between a call and its first message."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Lets everybody through, on the loop that the calls run on."""
        self._loop = loop
        self._flood_until = self._next_at = self._last_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Returns when the next newcomer may come: at once, unless others were just refused."""
        now = self._loop.time()
        if not self._waiting:
            if now >= self._flood_until:
                return
            if now >= self._next_at:
                self._next_at = now + _APART_SECONDS
                return
            self._loop.call_at(self._next_at, self._let_next)
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        self._last_until = now + _LONGEST_SECONDS
        await waiter

    def refused(self) -> None:
        """A newcomer found no room."""
        self._flood_until = self._loop.time() + _FLOOD_SECONDS

    def _let_next(self) -> None:
        now = self._loop.time()
        number = self._number(now)
        while self._waiting and number:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                number -= 1
        self._next_at = now + _APART_SECONDS
        if self._waiting:
            self._loop.call_at(self._next_at, self._let_next)

    def _number(self, now: float) -> int:
        """How many go together: a few, unless the last of them would wait for too long."""
        waiting, left = len(self._waiting), self._last_until - now
        if now >= self._flood_until or left <= _APART_SECONDS:
            return waiting
        return max(_TOGETHER, math.ceil(waiting * _APART_SECONDS / left))
