"""Reading of bytes that may be anything: taken or refused in words, within some memory."""

import tracemalloc
from collections.abc import Callable

from service.errors import ServiceError

MOST_BYTES, MOST_WORDS = 64 * 1024 * 1024, 2_000


def refuse(read: Callable[[], object]) -> None:
    """Reads what may be anything; where it is refused, it is told why in a line or two."""
    tracemalloc.start()
    try:
        read()
    except ServiceError as error:
        assert len(error.message) < MOST_WORDS, error.message[:300]
        assert "\n" not in error.message, error.message[:300]
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_BYTES
