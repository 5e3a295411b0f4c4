"""Runs the project's own commands, as a person would.

Owns the child processes: their headings, their failures, and that a server dies with the demo.
"""

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

_READY = re.compile(r"ready: grpc (?P<target>\S+)")
_STOP_SECONDS = 30


class DemoError(Exception):
    """A step of the demo failed; the message is one line."""


def run(title: str, *command: object) -> None:
    """Runs `python -m <command>` under a heading.

    Raises:
        DemoError: it failed; what it had to say stands above.
    """
    words = [str(word) for word in command]
    _announce(title, words)
    with subprocess.Popen([sys.executable, "-m", *words]) as process:
        try:
            code = process.wait()
        finally:
            process.terminate()
    if code != 0:
        raise DemoError(f"`python -m {' '.join(words)}` failed with exit code {code}")


@contextlib.contextmanager
def server(title: str, *command: object) -> Iterator[str]:
    """Runs a server for as long as the block lasts; gives its gRPC address.

    Raises:
        DemoError: it ended before it was ready.
    """
    words = [str(word) for word in command]
    _announce(title, words)
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield _address(process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _address(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        if ready := _READY.match(line):
            return ready["target"]
    raise DemoError(f"the server ended with exit code {process.wait()} before it was ready")


def _announce(title: str, words: list[str]) -> None:
    print(f"\n== {title}\n   python -m {' '.join(words)}", flush=True)
