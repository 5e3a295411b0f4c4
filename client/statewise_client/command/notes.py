"""What the client's log says, as notes on stderr.

Owns that each is told once where many streams say the same. Knows nothing of what they mean.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Notes(logging.Handler):
    """A line for each message that is not the last one again."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message != self._last:
            self._last = message
            print(f"note: {message}", file=sys.stderr, flush=True)


@contextmanager
def told() -> Iterator[None]:
    """Tells on stderr what the client logs within the block."""
    log, notes = logging.getLogger("statewise_client"), _Notes()
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(notes)
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.setLevel(before)
