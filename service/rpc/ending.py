"""The end of a server: the signals that ask for it, and the time that what is open has until then.

Owns that handing sequences over and waiting for streams share one deadline, and that a second
signal ends both. Knows nothing of what a server consists of besides.
"""

import asyncio
import logging
import signal
import sys

from service.inference.sequences import Sequences
from service.streams.seam import Streams

_log = logging.getLogger(__name__)


class Ending:
    """Asked for by a first signal, and hurried by a second one."""

    def __init__(self, streams: Streams, sequences: Sequences) -> None:
        """Is asked for by nobody yet."""
        self._streams, self._sequences = streams, sequences
        self._asked, self._hurried = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def on_signals(self) -> None:
        """Listens to SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.ask)

    def with_supervisor(self) -> None:
        """Ends with the supervisor, which holds the other end of standard input while it lives."""

        def gone() -> None:
            self._loop.remove_reader(sys.stdin)
            self._asked.set()

        self._loop.add_reader(sys.stdin, gone)

    def ask(self) -> None:
        """Begins the end; asked again, cuts it short."""
        if self._asked.is_set():
            _log.info("a second signal: cutting %d open streams", self._streams.live)
            self._hurried.set()
            self._streams.hurry()
        self._asked.set()

    async def asked(self) -> None:
        """Returns once somebody has asked for it."""
        await self._asked.wait()

    async def part(self, seconds: float) -> None:
        """Hands sequences over, and waits until streams have closed; so many seconds for both."""
        deadline = self._loop.time() + seconds
        handing = asyncio.ensure_future(self._sequences.hand_over())
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait((handing, hurried), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (handing, hurried):
            waiting.cancel()
        failed, _ = await asyncio.gather(handing, hurried, return_exceptions=True)
        if isinstance(failed, Exception):
            _log.error("sequences end with this server", exc_info=failed)
        left = 0.0 if self._hurried.is_set() else max(0.0, deadline - self._loop.time())
        await self._streams.drain(left)
