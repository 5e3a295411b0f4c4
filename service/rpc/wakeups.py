"""How gRPC's threads wake the event loop: once a batch, not once a message.

Owns three settings of this process, each measured with `python -m benchmarks serving`. A fourth,
that the poller reads the sockets itself, has to be set before gRPC is imported: `serve` does.

gRPC's poller thread queues an event, then writes a byte to a socket; its reader on the event loop
handles every queued event but takes a single byte, so that each further byte costs another round of
the loop in which there is nothing to do. Taking all bytes at once is safe: an event is queued
before its byte is written.

Under Linux's normal policy a thread that wakes up preempts the one that woke it, so that on one
core each event is two switches. Under SCHED_BATCH the event loop runs on while it has work.

That does not always hold: under load there are spells in which every event hands the core to the
poller at once. With a small share of the core it does so a tenth as often. It needs little, and has
all of the core once the loop has nothing to do.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc

_EVERYTHING = 65_536
# The poller's share is a tenth of the loop's.
_NICER, _NICEST = 10, 19


class _DrainingSocket(socket.socket):
    """A socket whose reader takes whatever is there."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return super().recv(max(bufsize, _EVERYTHING), flags)


def wake_in_batches() -> bool:
    """Applies all settings; has to come before gRPC's first server in this process.

    Returns:
        Whether gRPC took the draining socket. Where a release of gRPC wakes the loop in another
        way, nothing is changed.
    """
    if hasattr(os, "sched_setscheduler"):
        # A sandbox may forbid it; it is faster with it, not wrong without.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    before = _threads()
    with _draining_pairs() as made:
        grpc.aio.init_grpc_aio()
    for thread in _threads() - before:
        niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + _NICER, _NICEST)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    return bool(made)


def _threads() -> set[int]:
    """Threads of this process, where the system gives each a niceness of its own."""
    folder = Path("/proc/self/task")
    return {int(path.name) for path in folder.iterdir()} if folder.exists() else set()


@contextlib.contextmanager
def _draining_pairs() -> Iterator[list[socket.socket]]:
    """Lets the readers of socket pairs made in the block drain; gives those readers."""
    original = socket.socketpair
    made: list[socket.socket] = []

    def socketpair() -> tuple[socket.socket, socket.socket]:
        reader, writer = original()
        reader.__class__ = _DrainingSocket
        made.append(reader)
        return reader, writer

    socket.socketpair = socketpair  # type: ignore[assignment]
    try:
        yield made
    finally:
        socket.socketpair = original
