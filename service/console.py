"""The edges of a command: how a mistake in its words is told, and the end of its output.

Owns that a mistake is one line, and what happens where nobody takes what a command prints: a reader
that has gone away is no fault, a disk that is full is one, and neither is a traceback.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

# As shells show a program that ended on SIGPIPE.
_READER_GONE = 141
_CANT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


class Parser(argparse.ArgumentParser):
    """One whose mistakes are told in one line, by the command that they were made in."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuses what is unknown at once: otherwise the command around it would."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        print(f"error: {' '.join(message.split())}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def with_output(run: Callable[[], int]) -> int:
    """Runs a command to the end of its output.

    Returns:
        The command's exit code; where its output could not be written 1, and 141 where its reader
        had gone before it was done.
    """
    code = _READER_GONE
    try:
        code = run()
        # None where the caller closed it.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    except OSError as error:
        if error.filename is not None or error.errno not in _CANT_WRITE:
            raise
        _drop_output()
        print(f"error: the output can't be written: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _drop_output() -> None:
    """What is still buffered goes nowhere, so that the interpreter's end finds nothing to write."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
