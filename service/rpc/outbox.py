"""One stream's answers on their way out, and the requests that wait until they are written.

Owns the order in which one task writes and another reads, and how many requests are under way.
Knows nothing of what they say.
"""

import asyncio
from collections import deque

from protos.inference import service_pb2 as wire

# Requests of one stream under way at once; behind them, gRPC's flow control holds the caller up.
MOST_PENDING = 1_024
# And their bytes: a few of the largest that are taken by default, far above a sensor's steps.
MOST_BYTES = 8 * 1024 * 1024
# Requests of one stream that begin together at most; a batch holds no more by default.
_MOST_TOGETHER = 256


class Outbox:
    """Answers of one stream on their way out.

    Attributes:
        pending: requests that were read and not answered.
        bytes: of requests that were read and whose answers are not written: a caller that doesn't
            read its answers is not read from for long.
        writing: whether answers are on their way to the caller.
        held: requests that were read meanwhile, in their order.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.bytes = 0
        self._answered = self._taken = 0
        self.writing = False
        self.held: list[wire.ModelInferRequest] = []
        self._replies: deque[wire.ModelStreamInferResponse] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._roomy: asyncio.Future[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def finished(self) -> bool:
        """Whether nothing is left, and nothing comes any more."""
        return self._closed and self.pending <= 0 and not self._replies

    @property
    def full(self) -> bool:
        """Whether no more may be read now."""
        return self.pending >= MOST_PENDING or self.bytes >= MOST_BYTES

    def put(self, reply: wire.ModelStreamInferResponse, size: int) -> None:
        """Queues the answer to a request of so many bytes."""
        self.pending -= 1
        self._answered += size
        self._replies.append(reply)
        self._wake()
        self._give_room()

    def close(self) -> None:
        """No further request will come."""
        self._closed = True
        self._wake()

    async def room(self) -> None:
        """Waits until more may be read."""
        while self.full:
            self._roomy = self._loop.create_future()
            await self._roomy

    async def take(self) -> list[wire.ModelStreamInferResponse]:
        """The answers so far, at least one unless it is finished; they are written from now on."""
        while not self._replies and not self.finished:
            self._waiter = self._loop.create_future()
            await self._waiter
        replies = list(self._replies)
        self._replies.clear()
        self._taken, self._answered = self._answered, 0
        self.writing = True
        return replies

    async def release(self) -> list[wire.ModelInferRequest]:
        """What may begin now that the answers are written, once a round has brought no more."""
        self.bytes -= self._taken
        self._give_room()
        seen = 0
        while seen < len(self.held) < _MOST_TOGETHER:
            seen = len(self.held)
            await asyncio.sleep(0)
        self.writing = False
        held, self.held = self.held, []
        return held

    def _give_room(self) -> None:
        if self._roomy is not None and not self._roomy.done():
            self._roomy.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
