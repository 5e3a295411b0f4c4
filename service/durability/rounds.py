"""How rounds of writing to the store end: timed, counted, and their failures said once.

Owns what the log and the metrics learn of a round. Knows nothing of what is written.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service import tracing
from service.errors import ServiceError
from service.metrics import Metrics
from service.stores.store import Store

_log = logging.getLogger(__name__)


class Rounds:
    """The rounds of one store."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        """Starts with a store that works."""
        self._store = store
        self._metrics = metrics
        self._failing = False
        self._evicted = 0

    @contextmanager
    def one(self, waiting: int) -> Iterator[None]:
        """A round, in which so many are to be written or removed; no failure leaves it."""
        started = time.monotonic()
        try:
            if waiting:
                with tracing.span("checkpoint round", waiting=waiting):
                    yield
                self._metrics.states.round_took(time.monotonic() - started)
            else:
                yield
            if self._failing:
                _log.info("the state store takes checkpoints again")
            self._failing = False
        except ServiceError as error:
            self._metrics.states.store_failed(error.reason)
            if not self._failing:
                _log.warning("checkpoints wait: %s", error, extra={"reason": error.reason})
            self._failing = True
        except Exception:
            self._metrics.states.store_failed("UNEXPECTED")
            _log.exception("a round of checkpoints failed")
        evicted, self._evicted = self._evicted, self._store.evicted
        self._metrics.ended("size", self._evicted - evicted)
