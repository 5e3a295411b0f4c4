"""What the server counts, under its Prometheus names.

Owns the names, the labels and the registry. Hot paths count once a tick, not once a message.
Knows nothing of what is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_MODEL = ("model", "version")
_TICK_SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25)
_TICK_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class ModelMetrics:
    """The counters of one version of one model.

    Attributes:
        tick_seconds: time of a tick; its count is the number of ticks.
        tick_rows: streams advanced by a tick; its sum is the number of steps.
        opened: streams opened so far.
        refused: counts one refusal, by reason.
    """

    tick_seconds: Histogram
    tick_rows: Histogram
    opened: Counter
    refused: Callable[[str], None]


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        """Registers every metric."""
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self._tick_seconds = histogram(
            "statewise_tick_seconds",
            "Time of one tick, in seconds.",
            _MODEL,
            buckets=_TICK_SECONDS,
        )
        self._tick_rows = histogram(
            "statewise_tick_rows",
            "Streams advanced by one tick; the sum is the number of steps.",
            _MODEL,
            buckets=_TICK_ROWS,
        )
        self._opened = counter("statewise_streams_opened", "Streams opened.", _MODEL)
        self._open = gauge("statewise_open_streams", "Streams open now.", _MODEL)
        self._refused = counter(
            "statewise_refusals", "Chunks refused, by reason.", (*_MODEL, "reason")
        )
        self._refused_opens = counter(
            "statewise_refused_opens", "Streams that were not opened, by reason.", ("reason",)
        )
        self._expired = counter("statewise_sequences_expired", "Sequences ended by the idle limit.")
        self._restarted = counter(
            "statewise_sequences_restarted", "Sequences begun anew while they were live."
        )
        self._info = gauge(
            "statewise_model_info",
            "1 for each model served: which content, on which provider, with which bits.",
            (*_MODEL, "content_digest", "numeric_fingerprint", "provider"),
        )
        self._self_test = gauge(
            "statewise_self_test_worst_error",
            "Largest absolute error on the golden vectors.",
            _MODEL,
        )

    def model(self, model: str, version: str, open_streams: Callable[[], int]) -> ModelMetrics:
        """Counters of one version; `open_streams` is asked at each scrape."""
        self._open.labels(model, version).set_function(open_streams)
        return ModelMetrics(
            tick_seconds=self._tick_seconds.labels(model, version),
            tick_rows=self._tick_rows.labels(model, version),
            opened=self._opened.labels(model, version),
            refused=lambda reason: self._refused.labels(model, version, reason).inc(),
        )

    def sequence_expired(self) -> None:
        """Counts a sequence that was idle for too long."""
        self._expired.inc()

    def sequence_restarted(self) -> None:
        """Counts a START on an id that was live."""
        self._restarted.inc()

    def refused_open(self, reason: str) -> None:
        """Counts a stream that was not opened."""
        self._refused_opens.labels(reason).inc()

    def proven(
        self,
        model: str,
        version: str,
        *,
        content_digest: str,
        fingerprint: str,
        provider: str,
        worst_error: float,
    ) -> None:
        """Records that a model passed its self-test, and how."""
        self._info.labels(model, version, content_digest, fingerprint, provider).set(1)
        self._self_test.labels(model, version).set(worst_error)
