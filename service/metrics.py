"""What the server counts, under its Prometheus names.

Owns the names, the labels and the registry. Hot paths count once a tick, not once a message.
Knows nothing of what is counted.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.state_metrics import StateMetrics

_MODEL = ("model", "version")
_TICK_SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25)
_TICK_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Buckets:
    """The counts of one histogram, kept by one thread: a lock would cost more than the count."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class _Histograms(Collector):
    """One histogram for each version, written out when it is asked for."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._all: dict[tuple[str, str], Buckets] = {}

    def of(self, model: str, version: str) -> Buckets:
        """The counts of one version, made at the first call."""
        return self._all.setdefault((model, version), Buckets(self._bounds))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=_MODEL)
        for labels, buckets in list(self._all.items()):
            ends = [*map(floatToGoString, self._bounds), "+Inf"]
            sums = list(zip(ends, accumulate(buckets.counts), strict=True))
            family.add_metric(labels, sums, buckets.total)
        yield family


@dataclass(frozen=True)
class ModelMetrics:
    """The counters of one version of one model.

    Attributes:
        tick_seconds: time of a tick; its count is the number of ticks.
        tick_rows: streams advanced by a tick; its sum is the number of steps.
        opened: streams opened so far.
        refused: counts one refusal, by reason.
    """

    tick_seconds: "Buckets"
    tick_rows: "Buckets"
    opened: Counter
    refused: Callable[[str], None]


class Metrics:
    """All metrics of one server, in a registry of their own.

    Attributes:
        states: of the states that are kept.
    """

    def __init__(self) -> None:
        """Registers every metric."""
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._tick_seconds = _Histograms(
            "statewise_tick_seconds", "Time of one tick, in seconds.", _TICK_SECONDS
        )
        self._tick_rows = _Histograms(
            "statewise_tick_rows",
            "Streams advanced by one tick; the sum is the number of steps.",
            _TICK_ROWS,
        )
        self.registry.register(self._tick_seconds)
        self.registry.register(self._tick_rows)
        self._opened = counter("statewise_streams_opened", "Streams opened.", _MODEL)
        self._open = gauge("statewise_open_streams", "Streams open now.", _MODEL)
        self._refused = counter(
            "statewise_refusals", "Chunks refused, by reason.", (*_MODEL, "reason")
        )
        self._refused_opens = counter(
            "statewise_refused_opens", "Streams that were not opened, by reason.", ("reason",)
        )
        self._refused_calls = counter(
            "statewise_refused_calls", "Calls that were refused unread, by reason.", ("reason",)
        )
        self._expired = counter("statewise_sequences_expired", "Sequences ended by the idle limit.")
        self._restarted = counter(
            "statewise_sequences_restarted", "Sequences begun anew while they were live."
        )
        self.states = StateMetrics(self.registry)
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
            tick_seconds=self._tick_seconds.of(model, version),
            tick_rows=self._tick_rows.of(model, version),
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

    def refused_call(self, reason: str) -> None:
        """Counts a call of somebody who may not make it, or a request too many."""
        self._refused_calls.labels(reason).inc()

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
