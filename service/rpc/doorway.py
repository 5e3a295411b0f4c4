"""Who goes first where calls open faster than they are taken in: those that open.

Owns one rule of fairness. gRPC hands over one new call in a round or two of the event loop, and at
saturation a round holds a message of every open stream: the more of them, the longer each newcomer
waits, until the last of a thousand has had no answer while the first had thousands. So a call that
is let in shuts the doorway: open streams finish what they are at, and none reads its next message
until no other has been let in for a moment. Rounds are then short, and newcomers come in at once.
It is shut for a bounded time, and then open for at least as long, so that a flood of opens stops
nobody either; those for whom there is no room do not shut it. Knows nothing of messages.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# Below this many streams a round is short, and the rule would only delay them.
_CROWD = 128
# Within which the next call is let in, if there is one.
_QUIET_SECONDS = 0.002
# How long newcomers alone come in, once open streams are done with what they were at; and how long
# these may take for it: a second is 20,000 messages.
_SHUT_SECONDS = 0.1
_DRAIN_SECONDS = 1.0


class Doorway:
    """Between the streams' reads and the event loop.

    Attributes:
        shut: whether the next read has to wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts open and empty, on the loop that the calls run on."""
        self.shut = False
        self._loop = loop
        self._calls = 0
        # Calls that were let in, and reads that wait, at all and at the last look.
        self._opened = self._seen_opened = 0
        self._held = self._seen_held = 0
        self._shut_at = self._drained_at = 0.0
        self._rested = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call that was let in, and ends with the block."""
        self._enter()
        try:
            yield
        finally:
            self._calls -= 1

    async def wait(self) -> None:
        """Returns once reads may go on; to be asked where it is shut."""
        self._held += 1
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _enter(self) -> None:
        self._calls += 1
        self._opened += 1
        now = self._loop.time()
        if self.shut or self._calls < _CROWD or now < self._rested:
            return
        self.shut = True
        self._shut_at = self._drained_at = now
        self._watch()

    def _watch(self) -> None:
        self._seen_opened, self._seen_held = self._opened, self._held
        self._loop.call_later(_QUIET_SECONDS, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self._held != self._seen_held and now < self._shut_at + _DRAIN_SECONDS:
            self._drained_at = now
            self._watch()
            return
        if self._opened != self._seen_opened and now < self._drained_at + _SHUT_SECONDS:
            self._watch()
            return
        self.shut = False
        self._rested = 2 * now - self._shut_at
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
