"""Processes that a benchmark starts: pinned, awaited, and gone afterwards on every way out.

Owns their life. Knows nothing of what they serve or measure.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks import cores
from benchmarks.errors import BenchmarkError, LoadError, ServerError

ROOT = Path(__file__).resolve().parent.parent
# Every server here prints it when it can be called.
_READY = re.compile(r"^ready: grpc \S+:(\d+)", re.MULTILINE)
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Server:
    """A server that is ready: its process and its port on this machine."""

    pid: int
    port: int


@contextmanager
def serving(command: Sequence[str], *which: int) -> Iterator[Server]:
    """Runs a server on one core, or on a few, while the body runs.

    Raises:
        ServerError: it ended, or was not ready in time; the message ends with its last words.
    """
    with tempfile.TemporaryFile("w+") as log, _started(command, log, *which) as process:
        yield Server(pid=process.pid, port=_await_port(process, log))


def run(command: Sequence[str], core: int, seconds: float) -> str:
    """Runs a command on one core to its end and returns what it printed.

    Raises:
        LoadError: it failed; the message is its own.
        BenchmarkError: it took longer than `seconds`.
    """
    with tempfile.TemporaryFile("w+") as log, _started(command, log, core) as process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(
                f"{command[1]} {command[2]} took more than {seconds:g} s"
            ) from None
        text = _text(log)
    if code != 0:
        raise LoadError(_last_line(text))
    return text


@contextmanager
def _started(
    command: Sequence[str], log: IO[str], *which: int
) -> Iterator[subprocess.Popen[bytes]]:
    with cores.pinned(*which):
        # In a group of its own, so that its workers end with it.
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, then kills what is left of its group, even if interrupted."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:
        # Mostly, nobody is left.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_port(process: subprocess.Popen[bytes], log: IO[str]) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if ready := _READY.search(_text(log)):
            return int(ready[1])
        if ended:
            raise ServerError(f"a server ended at its start: {_last_line(_text(log))}")
        time.sleep(_POLL_SECONDS)
    raise ServerError(
        f"a server was not ready after {_START_SECONDS:g} s: {_last_line(_text(log))}"
    )


def _text(log: IO[str]) -> str:
    # The process writes at the position that it shares with this file.
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
