"""A model whose answers a test can predict, and a server of it without ONNX Runtime."""

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.artifacts.artifact import Artifact, Golden
from service.durability.keeping import Keeper
from service.durability.kept import KeptStreams
from service.durability.keys import StateKeys
from service.metrics import Metrics
from service.models.selftest import SelfTest
from service.models.served import Models, ServedModel
from service.rpc.doorway import Doorway
from service.settings import Settings
from service.stores.memory import MemoryStore
from service.stores.store import Store
from service.streams.chunks import Chunk
from service.streams.seam import Streams
from service.tensors import Signature, State, Tensor
from service.tick.advance import HostAdvance
from service.tick.arena import Arena
from service.tick.batcher import Batcher
from service.tick.ready import Ready
from service.tick.slots import Slot

Float32 = NDArray[np.float32]
FEATURES, STATE, OUTPUTS = 3, 2, 4
_FLOAT32 = np.dtype(np.float32)
SIGNATURE = Signature(
    inputs=(Tensor("input", _FLOAT32, (FEATURES,)),),
    outputs=(Tensor("output", _FLOAT32, (OUTPUTS,)),),
    states=(State(Tensor("state", _FLOAT32, (STATE,)), "next_state", np.zeros(STATE, np.float32)),),
)


@dataclass
class FakeEngine:
    """state' = state / 2 + [sum(x), 1]; output = [state', x0, 0]."""

    max_batch: int = 8
    features: int = FEATURES
    inputs: Float32 = field(init=False)
    states: Float32 = field(init=False)
    outputs: Float32 = field(init=False)
    next_states: Float32 = field(init=False)
    calls: list[int] = field(default_factory=list)
    before_step: Callable[[int], None] = lambda rows: None

    def __post_init__(self) -> None:
        self.inputs = np.zeros((self.max_batch, self.features), np.float32)
        self.states = np.zeros((self.max_batch, STATE), np.float32)
        self.outputs = np.zeros((self.max_batch, OUTPUTS), np.float32)
        self.next_states = np.zeros((self.max_batch, STATE), np.float32)

    def step(self, rows: int) -> None:
        self.calls.append(rows)
        self.before_step(rows)
        inputs, states = self.inputs[:rows], self.states[:rows]
        # Like a real engine, it answers a sum that overflows with infinity, not with a warning.
        with np.errstate(over="ignore", invalid="ignore"):
            self.next_states[:rows] = advance(states, inputs)
            self.outputs[:rows] = answer(self.next_states[:rows], inputs)

    def turned(self) -> "FakeEngine":
        other = copy.copy(self)
        other.states, other.next_states = self.next_states, self.states
        return other


def advance(states: Float32, inputs: Float32) -> Float32:
    """(batch, STATE) from (batch, STATE) and (batch, FEATURES)."""
    # Added in a fixed order, so that the bits do not depend on the batch.
    sums = inputs[:, 0].copy()
    for column in range(1, inputs.shape[1]):
        sums += inputs[:, column]
    return states / np.float32(2) + np.stack([sums, np.ones_like(sums)], axis=1)


def answer(states: Float32, inputs: Float32) -> Float32:
    """(batch, OUTPUTS) from (batch, STATE) and (batch, FEATURES)."""
    return np.stack([states[:, 0], states[:, 1], inputs[:, 0], np.zeros(len(states))], axis=1)


def alone(inputs: Float32, state: Float32 | None = None) -> Float32:
    """Outputs of one stream, (steps, OUTPUTS), computed step by step without company."""
    row = np.zeros((1, STATE), np.float32) if state is None else state
    outputs = []
    for step in inputs:
        row = advance(row, step[np.newaxis])
        outputs.append(answer(row, step[np.newaxis])[0])
    return np.array(outputs, np.float32)


def fake_batcher(
    engine: FakeEngine, capacity: int = 16, executor: Executor | None = None
) -> tuple[Batcher, Arena]:
    arena = Arena(capacity, np.zeros(STATE, np.float32))
    counters = Metrics().model("fake", "1", lambda: arena.slots.taken)
    layouts = SIGNATURE.output_layout(), SIGNATURE.state_layout()
    return Batcher(HostAdvance(engine, arena, layouts), arena, counters, executor), arena


def fake_model(
    engine: FakeEngine | None = None, *, name: str = "fake", version: int = 1, capacity: int = 16
) -> ServedModel:
    engine = engine or FakeEngine()
    batcher, arena = fake_batcher(engine, capacity)
    counters = Metrics().model(name, str(version), lambda: arena.slots.taken)
    proof = SelfTest(0.0, 1e-6, "nowhere", 0, f"sha256:fingerprint-{version}")
    return ServedModel(
        name, version, _artifact(name), proof, arena, batcher, counters, 8192, SIGNATURE
    )


def fake_streams(*models: ServedModel, **changes: object) -> Streams:
    return Streams(Models(models), Settings(Path("unused"), **changes), Metrics())


class DurableStore(MemoryStore):
    """A memory that passes for a disk, so that two servers can share it."""

    durable = True
    shared = True


def fake_kept(
    streams: Streams,
    store: Store | None = None,
    keys: StateKeys | None = None,
    **changes: object,
) -> KeptStreams:
    """The streams with a store behind them; its keeper writes when it is told to, or runs."""
    metrics = Metrics()
    settings = Settings(Path("unused"), **changes)
    keeper = Keeper(store or MemoryStore(settings.state_bytes), settings, metrics, keys)
    return KeptStreams(streams._models, streams, keeper, metrics)


def _artifact(name: str) -> Artifact:
    empty = np.zeros((1, 1, 1))
    return Artifact(
        path=Path("fake/model.onnx"),
        model=b"",
        name=name,
        digest="sha256:fake",
        features=tuple(f"x{number}" for number in range(FEATURES)),
        outputs=tuple(f"y{number}" for number in range(OUTPUTS)),
        signature=SIGNATURE,
        steps_per_second=10,
        golden=Golden(empty.astype("f4"), empty[0].astype("f4"), empty, empty[0], 1e-6),
    )


async def submit(batcher: Batcher, slot: Slot, inputs: Float32) -> Float32:
    """The outputs of one chunk, (steps, outputs); whoever stops waiting drops it."""
    future: asyncio.Future[Float32] = asyncio.get_running_loop().create_future()

    def resolve(ready: Ready) -> None:
        if future.done():
            return
        if ready.error is None:
            future.set_result(ready.joined())
        else:
            future.set_exception(ready.error)

    ready = batcher.begin(slot, inputs.data, len(inputs), resolve)
    try:
        return await future
    except asyncio.CancelledError:
        batcher.drop(ready)
        raise


def chunk(sequence: int, values: Float32, **changes: object) -> Chunk:
    """The chunk that a well-behaved client sends for `values`, (steps, features)."""
    steps, features = values.shape
    return Chunk(sequence, "float32", steps, features, values.tobytes())._replace(**changes)


def distinct(steps: int, seed: int, features: int = FEATURES) -> Float32:
    """Data of its own for every stream, so that cross-talk shows."""
    return np.random.default_rng(seed).normal(size=(steps, features)).astype(np.float32)


def doorway() -> Doorway:
    """On the loop that runs."""
    return Doorway(asyncio.get_running_loop())
