"""What a server does in the background, again and again, for as long as it runs.

Owns that an error which nobody foresaw ends one turn and is written to the log, and never ends the
rhythm. Knows nothing of what is done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def turn(what: str) -> Iterator[None]:
    """One turn of something that comes again; a cancellation leaves it."""
    try:
        yield
    except Exception:
        _log.exception("a turn of %s failed; the next one follows", what)


async def every(seconds: float, what: str, act: Callable[[], object]) -> None:
    """Does something so many seconds after it was done, until it is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        with turn(what):
            act()
