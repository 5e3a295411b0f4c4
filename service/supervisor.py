"""Several worker processes on one port, each with a core of its own to fill.

Owns their life: all are started, the dead are started again, a signal ends all, and none outlives
this process. The kernel shares out connections among them (SO_REUSEPORT), so that a connection, and
every stream on it, stays with one worker. Knows nothing of models or gRPC.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

from service.errors import SettingsError, WorkerFailed
from service.settings import Settings, address, to_environment

_log = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# Beside the drain: for the last statuses, and the interpreter's end.
_END_SECONDS = 10.0


async def supervise(settings: Settings) -> None:
    """Runs the workers and returns once a signal has ended them.

    Raises:
        SettingsError: the port can't be had.
        WorkerFailed: a worker could not be started at all.
    """
    with _reserved(settings) as port:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        workers = [_Worker(settings, number, port, stop) for number in range(settings.workers)]
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, workers, stop, number)
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            metrics = await asyncio.gather(*(worker.ready for worker in workers))
            where = address(settings.host, port)
            print(f"ready: grpc {where} metrics {','.join(metrics)}", flush=True)
            await asyncio.gather(*tasks)
        finally:
            _end(workers, stop, signal.SIGTERM)
            await asyncio.gather(*tasks, return_exceptions=True)


def _end(workers: "list[_Worker]", stop: asyncio.Event, number: int) -> None:
    stop.set()
    for worker in workers:
        worker.signal(number)


class _Worker:
    """One worker, and those that take its place.

    Attributes:
        ready: the address of the first one's metrics, once it serves.
    """

    def __init__(self, settings: Settings, number: int, port: int, stop: asyncio.Event) -> None:
        metrics = settings.metrics_port
        # Each has metrics of its own: a scraper adds them up.
        metrics = metrics + number if metrics > 0 else metrics
        self._settings = replace(settings, workers=1, worker=1, port=port, metrics_port=metrics)
        self._number = number
        self._stop = stop
        self._process: asyncio.subprocess.Process | None = None
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def signal(self, number: int) -> None:
        """Passes a signal on."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def run(self) -> None:
        """Starts it, again and again until the end."""
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            served, code = await self._once()
            if self._stop.is_set():
                break
            if not self.ready.done():
                error = WorkerFailed(f"worker {self._number} ended at its start, exit code {code}")
                self.ready.set_exception(error)
                return
            pause = _FIRST_PAUSE if served else min(2 * pause, _LONGEST_PAUSE)
            _log.warning(
                "worker %d ended, exit code %d; another in %g s", self._number, code, pause
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
        if not self.ready.done():
            self.ready.set_result("off")

    async def _once(self) -> tuple[bool, int]:
        """One process from its start to its end: whether it served, and its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "service", "serve"),
            # Held open as long as this process lives; its end ends the worker.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | to_environment(self._settings),
            # A terminal's Ctrl-C comes to this process alone, which passes it on.
            start_new_session=True,
        )
        self._process = process
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            served = line.startswith("ready: ")
            if served and not self.ready.done():
                self.ready.set_result(line.split()[-1])
            if self._stop.is_set():
                self.signal(signal.SIGTERM)
            return served, await self._ended(process)
        finally:
            if process.returncode is None:
                process.kill()

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Waits for the end; after the signal to stop, no longer than a drain takes."""
        wait = asyncio.ensure_future(process.wait())
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({wait, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        _, late = await asyncio.wait({wait}, timeout=self._settings.drain_seconds + _END_SECONDS)
        if late:
            _log.warning("worker %d did not end in time, and is killed", self._number)
            process.kill()
        return await wait


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Holds the port, without listening on it, for workers that share it."""
    family = socket.AF_INET6 if ":" in settings.host.strip("[]") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        try:
            # Without the option first: a port that somebody else listens on is a mistake.
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((settings.host.strip("[]"), settings.port))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((settings.host.strip("[]"), settings.port))
        except OSError as error:
            raise SettingsError(
                f"port is {settings.port}, which can't be had on {settings.host}: "
                f"{error.strerror}; choose another --port or --host"
            ) from None
        yield int(holder.getsockname()[1])
