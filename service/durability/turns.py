"""One change of a stream at a time: an open, an import, a close.

Owns who is at it. A change that was begun is done to its end, whoever stops waiting for it, since
half of one would leave the store and this server of two minds. Knows nothing of what is done.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from service.errors import Unavailable, shorten

Result = TypeVar("Result")


class Turns:
    """Who changes which stream now."""

    def __init__(self) -> None:
        """Starts with nobody at it."""
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(
        self,
        stream_id: str,
        change: Callable[[], Coroutine[Any, Any, Result]],
        abandoned: Callable[[Result], object] = lambda result: None,
    ) -> Result:
        """Changes a stream and returns what came of it.

        Args:
            stream_id: empty for one that gets an id of its own.
            change: what is done.
            abandoned: is given what came of it where nobody waits for it any more.

        Raises:
            Unavailable: another change of it is under way.
            ServiceError: as `change` does.
        """
        if stream_id and stream_id in self._busy:
            raise Unavailable(
                f"stream_id is {shorten(stream_id)!r}, which another call is opening, importing or "
                "closing; try again",
                reason="STREAM_BUSY",
                retry_after=0.1,
            )
        self._busy.add(stream_id)
        task = asyncio.ensure_future(self._done(stream_id, change))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def left(done: asyncio.Task[Result]) -> None:
            if not done.cancelled() and done.exception() is None:
                abandoned(done.result())

        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(left)
            raise

    async def _done(
        self, stream_id: str, change: Callable[[], Coroutine[Any, Any, Result]]
    ) -> Result:
        try:
            return await change()
        finally:
            self._busy.discard(stream_id)
