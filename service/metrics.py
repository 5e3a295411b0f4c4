"""What the server counts, under its Prometheus names.

Owns the names, the labels and the registry. Hot paths count once a tick, not once a message.
Knows nothing of what is counted.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service import reasons
from service.state_metrics import StateMetrics

_MODEL = ("model", "version")
_TICK_SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25)
_WAIT_SECONDS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 1.0, 5.0)
_TICK_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Buckets:
    """The counts of one histogram, kept by one thread: a lock would cost more than the count."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Counts a value, so many times."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.total += value * times


class _Histograms(Collector):
    """One histogram for each version, written out when it is asked for."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._labelnames = _MODEL
        self._all: dict[tuple[str, str], Buckets] = {}
        registry.register(self)

    def of(self, model: str, version: str) -> Buckets:
        """The counts of one version, made at the first call."""
        return self._all.setdefault((model, version), Buckets(self._bounds))

    def describe(self) -> Iterable[Metric]:
        return self.collect()

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
        queue_wait: time of a step in the queue, those of a tick counted at their mean.
        failed: steps that came to nothing.
        opened: streams opened so far.
        refused: counts one refusal, by reason.
        retired: tells no more what is served under its name, since it takes no more streams.
        gone: tells no more how many streams it has, since it has none and is let go of.
    """

    tick_seconds: Buckets
    tick_rows: Buckets
    queue_wait: Buckets
    failed: Counter
    opened: Counter
    refused: Callable[[str], None]
    retired: Callable[[], None]
    gone: Callable[[], None]


class Metrics:
    """All metrics of one server, in a registry of their own.

    Attributes:
        states: of the states that are kept.
    """

    def __init__(self) -> None:
        """Registers every metric."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # Of each version that is served: whose streams are counted, and what is told of it.
        self._counted: dict[tuple[str, str], object] = {}
        self._told: dict[tuple[str, str], tuple[str, ...]] = {}
        self._register_models()
        self._register_ticks()
        self._register_refusals()
        self.states = StateMetrics(self.registry)

    def _register_models(self) -> None:
        """What is served, and to how many."""
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._open = gauge("statewise_open_streams", "Streams open now.", _MODEL)
        self._slots = gauge(
            "statewise_max_streams", "Streams that may be open at once (`--max-streams`).", _MODEL
        )
        self._opened = counter("statewise_streams_opened", "Streams opened.", _MODEL)
        self._ended = counter(
            "statewise_evictions",
            "Streams that the server has ended or forgotten of its own, by reason.",
            ("reason",),
        )
        reasons.begin(self._ended, reasons.ENDED)
        self._restarted = counter(
            "statewise_sequences_restarted", "Sequences begun anew by START while they were live."
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

    def _register_ticks(self) -> None:
        """What is counted once a tick."""
        histograms = partial(_Histograms, registry=self.registry)
        self._tick_seconds = histograms(
            "statewise_tick_seconds", "Time of a tick, gather to hand-out.", _TICK_SECONDS
        )
        self._tick_rows = histograms(
            "statewise_tick_rows",
            "Streams advanced by a tick; the sum is the number of steps, of models that take whole "
            "chunks that of chunks.",
            _TICK_ROWS,
        )
        self._queue_wait = histograms(
            "statewise_queue_wait_seconds",
            "Time of a step from its arrival to its tick; the steps of a tick count at their mean.",
            _WAIT_SECONDS,
        )
        self._failed = Counter(
            "statewise_failed_steps",
            "Steps that came to nothing: the model failed, or the server was stopping.",
            _MODEL,
            registry=self.registry,
        )

    def _register_refusals(self) -> None:
        """Who was told no, and why."""
        counter = partial(Counter, registry=self.registry)
        self._refused = counter(
            "statewise_refusals", "Chunks refused, by reason.", (*_MODEL, "reason")
        )
        self._refused_opens = counter(
            "statewise_refused_opens", "Streams that were not opened, by reason.", ("reason",)
        )
        self._refused_requests = counter(
            "statewise_refused_requests",
            "Requests of the Open Inference Protocol that were answered by an error, by reason.",
            ("reason",),
        )
        self._refused_calls = counter(
            "statewise_refused_calls",
            "Calls that nobody known made, that a caller may not make, that were too many, or "
            "whose message was too large or none, by reason.",
            ("reason",),
        )
        reasons.begin(self._refused_opens, reasons.OPENS)
        reasons.begin(self._refused_requests, reasons.REQUESTS)
        reasons.begin(self._refused_calls, reasons.CALLS)

    def model(
        self, model: str, version: str, open_streams: Callable[[], int], max_streams: int = 0
    ) -> ModelMetrics:
        """Counters of one version; `open_streams` is asked at each scrape."""
        self._open.labels(model, version).set_function(open_streams)
        self._slots.labels(model, version).set(max_streams)
        reasons.begin(self._refused, reasons.CHUNKS, model, version)
        # Another load under the same name takes the place of the one before.
        load = self._counted[model, version] = object()
        return ModelMetrics(
            tick_seconds=self._tick_seconds.of(model, version),
            tick_rows=self._tick_rows.of(model, version),
            queue_wait=self._queue_wait.of(model, version),
            failed=self._failed.labels(model, version),
            opened=self._opened.labels(model, version),
            refused=lambda reason: self._refused.labels(model, version, reason).inc(),
            retired=lambda: self._retire(model, version, load),
            gone=lambda: self._forget(model, version, load),
        )

    def ended(self, reason: str, streams: int = 1) -> None:
        """Counts streams that ended though no caller has closed them."""
        if streams:
            self._ended.labels(reason).inc(streams)

    def sequence_restarted(self) -> None:
        """Counts a START on an id that was live."""
        self._restarted.inc()

    def refused_open(self, reason: str) -> None:
        """Counts a stream that was not opened."""
        self._refused_opens.labels(reason).inc()

    def refused_request(self, reason: str) -> None:
        """Counts a request that was answered by an error."""
        self._refused_requests.labels(reason).inc()

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
        told = (model, version, content_digest, fingerprint, provider)
        before = self._told.get((model, version), told)
        if before != told:
            self._info.remove(*before)
        self._told[model, version] = told
        self._info.labels(*told).set(1)
        self._self_test.labels(model, version).set(worst_error)

    def _retire(self, model: str, version: str, load: object) -> None:
        told = self._told.get((model, version))
        if told is not None and self._counted.get((model, version)) is load:
            del self._told[model, version]
            self._info.remove(*told)
            self._self_test.remove(model, version)

    def _forget(self, model: str, version: str, load: object) -> None:
        if self._counted.get((model, version)) is load:
            del self._counted[model, version]
            for gauge in (self._open, self._slots):
                gauge.remove(model, version)
