"""Calls that come while another is on its way: they go together with the next.

Owns the queue. A store that pays for each trip and little for what the trip carries is asked for
thousands of streams at once in a few trips. Knows nothing of what is asked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_MOST = 128


class Gathering(Generic[Asked, Answer]):
    """One kind of call, many at a time."""

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]],
        key: Callable[[Asked], str],
    ) -> None:
        """Starts with nobody waiting.

        Args:
            work: answers many calls, one answer each, in their order.
            key: of a call; two of one key never go together.
        """
        self._work = work
        self._key = key
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        """The answer to one call.

        Raises:
            Exception: what `work` raised; all that went together get the same.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        taken: list[tuple[Asked, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                taken = self._take()
                await self._answer(taken)
        finally:
            # On its way out by a cancel: nobody waits for an answer that will not come.
            for _, future in (*taken, *self._waiting):
                future.cancel()
            self._waiting.clear()
            self._task = None

    async def _answer(self, taken: list[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([asked for asked, _ in taken])
        except Exception as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _take(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        taken: list[tuple[Asked, asyncio.Future[Answer]]] = []
        keys: set[str] = set()
        while self._waiting and len(taken) < _MOST:
            key = self._key(self._waiting[0][0])
            if key in keys:
                break
            keys.add(key)
            taken.append(self._waiting.popleft())
        return taken
