"""Servers on ports that stay theirs, which are killed, stopped and started again."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from processes import Server, serving

# Often enough that kills come before, within and behind checkpoints.
CHECKPOINT_MS = 20


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Replica:
    """One place for a server: its port, its options, and whoever runs there now."""

    def __init__(self, model_path: Path, *options: object) -> None:
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self._model_path = model_path
        self._options = ("--port", self.port, "--checkpoint-ms", CHECKPOINT_MS, *options)
        self._context = serving(model_path, *self._options)
        self.running: Server = self._context.__enter__()

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def start(self) -> None:
        """Starts a server where the last one was."""
        self._context = serving(self._model_path, *self._options)
        self.running = self._context.__enter__()

    def end(self, signum: int) -> int:
        """Ends the one that runs; its exit code."""
        self.running.process.send_signal(signum)
        code = self.running.process.wait(120)
        self._context.__exit__(None, None, None)
        return code

    async def follow(self, signum: int = signal.SIGKILL) -> int:
        """Ends the one that runs, and starts the next; the exit code of the one before."""
        code = await asyncio.to_thread(self.end, signum)
        await asyncio.to_thread(self.start)
        return code

    def close(self) -> None:
        self._context.__exit__(None, None, None)


@contextmanager
def replicas(model_path: Path, *options: object, number: int = 1) -> Iterator[Sequence[Replica]]:
    """So many servers with the same options."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Replica(model_path, *options))) for _ in range(number)]


def descriptors(pid: int) -> int:
    """Files and connections that a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children(pid: int) -> list[int]:
    """Processes that a process has started and that still run."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_worker(supervisor: int, number: int, dice: random.Random) -> None:
    """Kills one of so many workers, once all of them are there."""
    while len(workers := children(supervisor)) < number:
        time.sleep(0.01)
    os.kill(dice.choice(workers), signal.SIGKILL)
