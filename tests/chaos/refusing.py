"""Reading of bytes that may be anything: taken or refused in words, within some memory."""

import tracemalloc
from collections.abc import Callable

from service.errors import ServiceError

MOST_BYTES, MOST_WORDS = 64 * 1024 * 1024, 2_000


def refuse(read: Callable[[], object], *, told: bool = False) -> None:
    """Reads what may be anything; where a caller is told why it is refused, in a line or two."""
    tracemalloc.start()
    try:
        read()
    except ServiceError as error:
        if told:
            assert len(error.message) < MOST_WORDS
            assert "\n" not in error.message
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_BYTES
