"""What the server counts of the states that it keeps, under its Prometheus names.

Owns these names. Knows nothing of what is counted.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service import reasons

_ROUND_SECONDS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


class StateMetrics:
    """Counters of kept states."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them."""
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        self._checkpoints = counter("statewise_checkpoints", "States written to the store.")
        self._round = Histogram(
            "statewise_checkpoint_round_seconds",
            "Time of a round in which all states that wait are written.",
            buckets=_ROUND_SECONDS,
            registry=registry,
        )
        self._lag = gauge(
            "statewise_checkpoint_lag_seconds",
            "Age of the oldest chunk that is not in the store; 0 where all are.",
        )
        self._waiting = gauge(
            "statewise_states_waiting",
            "Streams whose newest state is not in the store, and removals that wait.",
        )
        self._store_failures = counter(
            "statewise_store_failures", "What the store did not do, by reason.", ("reason",)
        )
        reasons.begin(self._store_failures, reasons.STORE_FAILURES)
        self._resumed = counter(
            "statewise_streams_resumed", "Streams that went on in another call."
        )
        self._taken_over = counter(
            "statewise_streams_taken_over",
            "Resumed streams that another call of this server had until then.",
        )
        self._kept = gauge(
            "statewise_kept_states",
            "States in the store, whoever wrote them; looked at every 30 s.",
        )
        self._kept_bytes = gauge(
            "statewise_kept_bytes",
            "Bytes of `state_bytes` that are in use; looked at every 30 s.",
        )
        self._max_bytes = gauge(
            "statewise_max_kept_bytes", "The bound of the store, `state_bytes`."
        )

    def watch(self, waiting: Callable[[], int], lag: Callable[[], float], max_bytes: int) -> None:
        """Asks at each scrape, from the scrape's own thread."""
        self._waiting.set_function(waiting)
        self._lag.set_function(lag)
        self._max_bytes.set(max_bytes)

    def checkpointed(self, states: int) -> None:
        """Counts states that were written to the store."""
        self._checkpoints.inc(states)

    def round_took(self, seconds: float) -> None:
        """Counts a round."""
        self._round.observe(seconds)

    def store_failed(self, reason: str) -> None:
        """Counts something that the store did not do."""
        self._store_failures.labels(reason).inc()

    def resumed(self, *, taken_over: bool) -> None:
        """Counts a stream that went on in another call, which another may have had until then."""
        self._resumed.inc()
        if taken_over:
            self._taken_over.inc()

    def held(self, states: int, size: int) -> None:
        """Notes what the store holds."""
        self._kept.set(states)
        self._kept_bytes.set(size)
