"""From a file to a served model: artefact, engine, self-test, timing, arena, batcher.

Owns the order of these steps and what is logged and recorded of them. A model is proven on the very
engine that will serve it.
"""

import logging
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import cast

from service import tracing
from service.artifacts import artifact
from service.artifacts.repository import Entry
from service.errors import SettingsError
from service.metrics import Metrics
from service.models import selftest
from service.models.served import ServedModel
from service.runtime.engine import Engine
from service.runtime.rewriting import NotRewritableError
from service.settings import Provider, Settings
from service.tensors import Signature
from service.tick.advance import ByLength, HostAdvance
from service.tick.arena import Arena
from service.tick.batcher import Batcher
from service.tick.resident import Resident

_log = logging.getLogger(__name__)
_TIMED_ROWS, _TIMED_REPEATS = 32, 15
# Steps of the calls in which streams of a model that takes whole chunks must not meet each other.
_TRIED_LENGTHS = (2, 7)
# What a message holds beside the numbers: a few varints and tags.
_ENVELOPE_BYTES = 256
# Providers with memory of their own, where states would have to cross to be computed.
_WITH_MEMORY = {"cuda"}


def load_model(entry: Entry, settings: Settings, metrics: Metrics) -> ServedModel:
    """Loads, proves and times one version.

    Raises:
        ArtifactError: the file can't be served, or fails its self-test.
        ProviderError: the provider that was asked for isn't there.
        SettingsError: there is no memory for so many streams.
    """
    with tracing.span("load model", model=entry.name, version=str(entry.version)):
        return _load(entry, settings, metrics)


def _load(entry: Entry, settings: Settings, metrics: Metrics) -> ServedModel:
    loaded = artifact.load(entry.path)
    engine = Engine(loaded, provider=settings.provider, max_batch=settings.max_batch)
    signature = engine.signature
    resident = _resident(engine, settings)
    tested = resident or engine
    longer = [engine.at(steps) for steps in _TRIED_LENGTHS] if signature.whole else []
    proof = selftest.replay(tested, *longer)
    _log.info(
        "model %s/%d on %s: %s; content %s, fingerprint %s",
        *(entry.name, entry.version, tested.provider + (" in int8" if loaded.int8 else "")),
        proof.summary(),
        *(loaded.digest, proof.fingerprint),
    )
    # How long a call of whole chunks takes is its callers' affair: never on the event loop.
    limit = 0.0 if signature.whole else settings.inline_limit_ms
    executor = _executor(entry, tested, limit)
    advance, states = (resident, resident) if resident else _on_host(engine, settings)
    lengths = ByLength(engine, states) if signature.whole and isinstance(states, Arena) else None
    name, version = entry.name, str(entry.version)
    counters = metrics.model(name, version, lambda: states.slots.taken, states.slots.capacity)
    metrics.proven(
        name,
        version,
        content_digest=loaded.digest,
        fingerprint=proof.fingerprint,
        provider=tested.provider,
        worst_error=proof.worst_error,
    )
    return ServedModel(
        name=name,
        version=entry.version,
        artifact=loaded,
        self_test=proof,
        arena=states,
        batcher=Batcher(advance, states, counters, executor, lengths=lengths),
        metrics=counters,
        max_chunk_steps=_max_chunk_steps(signature, settings),
        signature=signature,
        provider=tested.provider,
    )


def _resident(engine: Engine, settings: Settings) -> Resident | None:
    """The same model with its states on its device; None where they are kept on the host."""
    signature, loaded = engine.signature, engine.artifact
    if engine.provider not in _WITH_MEMORY or not signature.states:
        return None
    try:
        if loaded.external:
            raise NotRewritableError("it has weights in files beside it")
        if not signature.batched:
            raise NotRewritableError("it computes one stream at a time")
        if signature.whole:
            raise NotRewritableError("it takes whole chunks")
        return Resident(
            loaded,
            signature,
            provider=cast(Provider, engine.provider),
            capacity=settings.max_streams,
            max_batch=min(engine.max_batch, settings.max_streams),
        )
    except NotRewritableError as reason:
        _log.info("model %s keeps its states on the host: %s", loaded.name, reason)
        return None


def _on_host(engine: Engine, settings: Settings) -> tuple[HostAdvance, Arena]:
    """States in host memory."""
    signature = engine.signature
    initial = signature.initial_row()
    try:
        arena = Arena(settings.max_streams, initial)
    except MemoryError:
        gigabytes = settings.max_streams * initial.nbytes / 1e9
        raise SettingsError(
            f"max_streams is {settings.max_streams}: their states take {gigabytes:.1f} GB, which "
            "this machine does not give; take fewer"
        ) from None
    layouts = signature.output_layout(), signature.state_layout()
    return HostAdvance(engine, arena, layouts), arena


def _max_chunk_steps(signature: Signature, settings: Settings) -> int:
    """As many steps as settings allow and as fit in a message, asked or answered."""
    width = max(sum(one.nbytes for one in side) for side in (signature.inputs, signature.outputs))
    fitting = (settings.max_message_bytes - _ENVELOPE_BYTES) // max(1, width)
    return max(1, min(settings.max_chunk_steps, fitting))


def _executor(entry: Entry, engine: Engine | Resident, inline_limit_ms: float) -> Executor | None:
    """A thread for a model that would hold up the event loop; None for one that is quick."""
    milliseconds = _tick_milliseconds(engine)
    inline = milliseconds <= inline_limit_ms
    _log.info(
        "model %s/%d: %d rows take %.3f ms, so it runs %s",
        *(entry.name, entry.version, min(_TIMED_ROWS, engine.max_batch), milliseconds),
        "inline" if inline else "on a thread",
    )
    # Started by the thread that made the first session, it inherits flush-to-zero.
    return None if inline else ThreadPoolExecutor(1, thread_name_prefix=f"engine-{entry.name}")


def _tick_milliseconds(engine: Engine | Resident) -> float:
    """Time of a step of 32 rows; the least of several, since other work only ever adds."""
    rows = min(_TIMED_ROWS, engine.max_batch)
    times = []
    for _ in range(_TIMED_REPEATS):
        started = time.perf_counter()
        engine.follow(rows)
        times.append(time.perf_counter() - started)
    return min(times) * 1e3
