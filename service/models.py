"""Models ready to serve, each proven on the engine that serves it.

Owns the way from a file to a served model: artefact, engine, self-test, timing, arena, batcher; and
the look-up by name and version. Knows nothing of streams.
"""

import logging
import statistics
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from service import artifact, selftest
from service.arena import Arena
from service.artifact import Artifact
from service.batcher import Batcher
from service.engine import Engine
from service.errors import NotFound
from service.metrics import Metrics, ModelMetrics
from service.repository import Entry
from service.selftest import SelfTest
from service.settings import Settings

_log = logging.getLogger(__name__)
_TIMED_ROWS, _TIMED_REPEATS = 32, 15


@dataclass(frozen=True)
class ServedModel:
    """One version of a model, with everything that its streams need."""

    name: str
    version: int
    artifact: Artifact
    self_test: SelfTest
    arena: Arena
    batcher: Batcher
    metrics: ModelMetrics


def load_model(entry: Entry, settings: Settings, metrics: Metrics) -> ServedModel:
    """Loads, proves and times one version.

    Raises:
        ArtifactError: the file can't be served, or fails its self-test.
        ProviderError: the provider that was asked for isn't there.
    """
    loaded = artifact.load(entry.path)
    engine = Engine(loaded, provider=settings.provider, max_batch=settings.max_batch)
    proof = selftest.replay(engine)
    tick_ms = _tick_milliseconds(engine)
    inline = tick_ms <= settings.inline_limit_ms
    arena = Arena(settings.max_streams, loaded.state.initial)
    counters = metrics.model(entry.name, str(entry.version), lambda: arena.taken)
    metrics.proven(
        entry.name,
        str(entry.version),
        content_digest=loaded.digest,
        fingerprint=proof.fingerprint,
        provider=engine.provider,
        worst_error=proof.worst_error,
    )
    _log.info(
        "model %s/%d on %s: self-test off by %.2g of %.2g allowed; %d rows take %.3f ms, so it "
        "runs %s; content %s, fingerprint %s",
        *(entry.name, entry.version, engine.provider, proof.worst_error, proof.tolerance),
        *(min(_TIMED_ROWS, engine.max_batch), tick_ms, "inline" if inline else "on a thread"),
        *(loaded.digest, proof.fingerprint),
    )
    batcher = Batcher(engine, arena, counters, None if inline else _thread(entry.name))
    return ServedModel(entry.name, entry.version, loaded, proof, arena, batcher, counters)


class Models:
    """The served models, found by name and version."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Takes models of any order."""
        self._models: dict[str, dict[int, ServedModel]] = {}
        for model in models:
            self._models.setdefault(model.name, {})[model.version] = model

    def __iter__(self) -> Iterator[ServedModel]:
        """Every version of every model."""
        return (model for versions in self._models.values() for model in versions.values())

    def find(self, name: str, version: str = "") -> ServedModel:
        """A model by name, the newest version unless one is named.

        Raises:
            NotFound: with reason MODEL_NOT_FOUND or VERSION_NOT_FOUND.
        """
        versions = self._models.get(name)
        if versions is None:
            known = ", ".join(sorted(self._models))
            raise NotFound(
                f"model is {name!r}; this server has {known}", reason="MODEL_NOT_FOUND", model=name
            )
        if not version:
            return versions[max(versions)]
        if version.isdecimal() and int(version) in versions:
            return versions[int(version)]
        known = ", ".join(map(str, sorted(versions)))
        raise NotFound(
            f"version of {name} is {version!r}; this server has {known}",
            reason="VERSION_NOT_FOUND",
            model=name,
            version=version,
        )


def _tick_milliseconds(engine: Engine) -> float:
    """Median time of a step of 32 rows, as a busy core sees them."""
    rows = min(_TIMED_ROWS, engine.max_batch)
    times = []
    for _ in range(_TIMED_REPEATS):
        started = time.perf_counter()
        engine.step(rows)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def _thread(name: str) -> Executor:
    # Started by the thread that made the first session, it inherits flush-to-zero.
    return ThreadPoolExecutor(1, thread_name_prefix=f"engine-{name}")
