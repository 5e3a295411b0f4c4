"""What the server counts of the states that it keeps, under its Prometheus names.

Owns these names. Knows nothing of what is counted.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter


class StateMetrics:
    """Counters of kept states."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them."""
        counter = partial(Counter, registry=registry)
        self._checkpoints = counter("statewise_checkpoints", "States written to the store.")
        self._store_failures = counter(
            "statewise_store_failures",
            "Writes that the store did not take, by reason.",
            ("reason",),
        )
        self._fenced = counter(
            "statewise_streams_fenced", "Streams ended here since another server claimed them."
        )
        self._resumed = counter(
            "statewise_streams_resumed", "Streams that went on in another call."
        )
        self._expired = counter(
            "statewise_states_expired", "Kept streams that nobody advanced for too long."
        )

    def checkpointed(self, states: int) -> None:
        """Counts states that were written to the store."""
        self._checkpoints.inc(states)

    def store_failed(self, reason: str) -> None:
        """Counts a write that the store did not take."""
        self._store_failures.labels(reason).inc()

    def fenced(self) -> None:
        """Counts a stream that another server has claimed."""
        self._fenced.inc()

    def resumed(self) -> None:
        """Counts a stream that went on in another call."""
        self._resumed.inc()

    def expired(self, streams: int) -> None:
        """Counts kept streams that nobody advanced for too long."""
        self._expired.inc(streams)
