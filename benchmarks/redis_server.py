"""A Redis of a benchmark's own: on loopback, on a free port, gone afterwards.

Owns its start and its end.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import PeerMissingError, ServerError

_START_SECONDS = 10.0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The URL of a Redis that keeps a log of its writes in `folder`, while the body runs.

    Raises:
        PeerMissingError: it is not installed.
        ServerError: it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise PeerMissingError("redis-server is not there; apt-get install redis-server")
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    options += ["--appendonly", "yes", "--save", ""]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise ServerError("redis-server did not start")
