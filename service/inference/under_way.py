"""The requests that are under way: how many there may be, and that each is settled once.

Owns their count, and what a caller is told of a failure that nobody foresaw. Knows nothing of what
a request asks for.
"""

import logging

from service.errors import Exhausted, ServiceError, Unforeseen
from service.inference.requests import Answer, Done
from service.metrics import Metrics

_log = logging.getLogger(__name__)


class UnderWay:
    """The requests of this server that are not answered yet."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        """Starts with none; counts refusals."""
        self._most, self._metrics = most, metrics
        self._count = 0

    def begin(self, done: Done) -> Done:
        """Counts a request; gives what is to be told of its outcome, the first of which holds.

        Raises:
            Exhausted: as many are under way as there may be.
        """
        if self._count >= self._most:
            error = _too_many(self._count, self._most)
            self._metrics.refused_call(error.reason)
            raise error
        self._count += 1
        settled = False

        def finished(outcome: Answer | ServiceError) -> None:
            nonlocal settled
            if settled:
                return
            settled = True
            self._count -= 1
            if isinstance(outcome, ServiceError):
                self._metrics.refused_request(outcome.reason)
            done(outcome)

        return finished


def told(error: Exception) -> ServiceError:
    """What a request's caller may know of a failure; one that nobody foresaw is in the log."""
    if isinstance(error, ServiceError):
        return error
    _log.error("a request failed unexpectedly", exc_info=error)
    return Unforeseen()


def _too_many(under_way: int, most: int) -> Exhausted:
    return Exhausted(
        f"{under_way} requests are under way, as many as this server takes; send it again",
        reason="REQUESTS_EXHAUSTED",
        retry_after=0.1,
        max_requests=most,
    )
