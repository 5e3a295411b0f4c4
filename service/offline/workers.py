"""Tasks on several processes of this machine.

Owns the processes: how each begins, what it is told and tells, and that none outlives its parent.
What a task is to do is a function that a process makes for itself, since engines can't be sent.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from service.errors import ServiceError, WorkerFailed

# Does the task of a number; is given what to call with the rows that are done.
Work = Callable[[int, Callable[[int], object]], int]
Report = Callable[[int, int], object]
_END_SECONDS = 5.0


def run(
    make: Callable[..., Work],
    arguments: Sequence[Any],
    tasks: Sequence[int],
    workers: int,
    report: Report,
) -> Iterator[int]:
    """Does tasks, each on the first process that is free.

    Args:
        make: called once in each process, with the arguments; gives what does a task and tells how
            many entities it had.
        arguments: of `make`; they are sent.
        tasks: numbers of tasks.
        workers: how many processes.
        report: is told of rows and of entities that are done.

    Yields:
        The number of each task when it is done.

    Raises:
        ServiceError: what a task has raised.
        WorkerFailed: a process ended.
    """
    waiting = list(reversed(tasks))
    with _processes(make, arguments, min(workers, len(tasks))) as open_ends:
        busy = dict.fromkeys(open_ends, -1)
        while busy:
            speaking = wait(list(busy))
            for connection in [one for one in busy if one in speaking]:
                kind, content = _receive(connection)
                if kind == "error":
                    raise content
                if kind == "rows":
                    report(content, 0)
                    continue
                if kind == "done":
                    report(0, content)
                    yield busy[connection]
                # Ready for the first task, or for the next.
                if waiting:
                    busy[connection] = waiting.pop()
                    connection.send(busy[connection])
                else:
                    del busy[connection]


def _receive(connection: Connection) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = connection.recv()
    except (EOFError, ConnectionResetError):
        raise WorkerFailed(
            "a process of the score ended, perhaps for want of memory; give less --memory or fewer "
            "--workers, and go on with --resume"
        ) from None
    return message


@contextmanager
def _processes(
    make: Callable[..., Work], arguments: Sequence[Any], count: int
) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    processes = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
            process.start()
            # Its other end is the process's alone, so that either sees when the other has gone.
            theirs.close()
            ends.append(ours)
            processes.append(process)
        yield list(ends)
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_END_SECONDS)
            process.kill()


def _work(connection: Connection, make: Callable[..., Work], arguments: Sequence[Any]) -> None:
    """The life of a process."""
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make(*arguments)
        connection.send(("ready", None))
        while True:
            task = connection.recv()
            entities = work(task, lambda rows: connection.send(("rows", rows)))
            connection.send(("done", entities))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The parent has gone, or needs no more.
        return
    except (ServiceError, OSError) as error:
        # A disk that is full, too: whoever writes the output says it there.
        connection.send(("error", error))


def _end_with_parent() -> None:
    """Ends this process at once when its parent has been killed, in the middle of a task too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
