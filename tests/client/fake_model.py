"""A small model whose answers a test can predict, and its streams as a server keeps them.

The model's state is the running sum of its steps, in float32, so that every step counts and their
order can be told from the outputs. No network.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import numpy as np

from protos.statewise.v1 import stream_pb2 as wire

FEATURES = ("ax", "ay", "az")
OUTPUTS = ("low", "high")
# A value that the client lets pass and this server does not.
FORBIDDEN = 1e6


def distinct(steps: int, seed: int) -> np.ndarray:
    """Random steps, (steps, features), different in every stream."""
    return np.random.default_rng(seed).standard_normal((steps, len(FEATURES))).astype(np.float32)


def answers(steps: np.ndarray) -> np.ndarray:
    """What the model says to a whole stream, (steps, outputs)."""
    return compute(np.zeros(len(FEATURES), np.float32), steps)[1]


def compute(state: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    outputs = np.empty((len(steps), len(OUTPUTS)), np.float32)
    for row, step in zip(outputs, steps, strict=True):
        state = state + step
        row[:] = state.min(), state.max()
    return state, outputs


@dataclass
class Kept:
    """A stream: its state, and the results that its caller may not have."""

    state: np.ndarray
    sequence: int = 0
    steps: int = 0
    results: dict[int, wire.ServerMessage] = field(default_factory=dict)
    # What a server that is killed goes back to.
    stored: "Kept | None" = None
    durable: int = 0
    calls: int = 0
    closed: bool = False

    def store(self) -> None:
        self.stored = Kept(self.state, self.sequence, self.steps, dict(self.results))
        self.durable = self.sequence

    def lose(self) -> "Kept | None":
        """What is left of it after a kill."""
        left = self.stored
        if left is not None:
            left.store()
        return left

    def forget(self, sequence: int) -> None:
        self.results = {one: reply for one, reply in self.results.items() if one > sequence}


def parsed(blob: bytes) -> Kept:
    """A state of this server's: its steps, then the sum."""
    return Kept(np.frombuffer(blob[8:], "<f4").copy(), steps=int.from_bytes(blob[:8], "big"))


def blob(kept: Kept) -> bytes:
    return kept.steps.to_bytes(8, "big") + kept.state.tobytes()


class Refusal(Exception):
    """An open that is refused, with its code and reason."""


def open_kept(streams: dict[str, Kept], opening: wire.Open) -> tuple[Kept, bool]:
    """The stream that an open gets, and whether it goes on."""
    kept, resume = streams.get(opening.stream_id), opening.resume
    if not opening.HasField("resume"):
        if kept is not None and not kept.closed and kept.sequence and not opening.replace:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "STREAM_KEPT")
    elif kept is not None and kept.closed:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "STREAM_CLOSED")
    elif kept is not None:
        if resume.HasField("replay_from") and resume.replay_from > kept.sequence + 1:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "STATE_LOST")
        missing = range(resume.received + 1, kept.sequence + 1)
        if resume.HasField("received") and not set(missing) <= kept.results.keys():
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "OUTPUTS_LOST")
        return kept, True
    elif not (resume.HasField("replay_from") and resume.replay_from == 1):
        raise Refusal(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")
    begun = Kept(np.zeros(len(FEATURES), np.float32))
    if opening.initial_state:
        begun = parsed(opening.initial_state)
    if not opening.ephemeral:
        streams[opening.stream_id] = begun
    return begun, False


def answer(kept: Kept, chunk: wire.Chunk, stores: Callable[[int], bool]) -> wire.ServerMessage:
    """Takes a chunk, or refuses it."""
    kept.forget(chunk.acknowledged)
    steps = np.frombuffer(chunk.data, "<f4").reshape(chunk.steps, chunk.features)
    if chunk.sequence != kept.sequence + 1:
        return refused(chunk, "SEQUENCE_GAP", kept.sequence + 1)
    if (steps == FORBIDDEN).any():
        return refused(chunk, "FORBIDDEN", kept.sequence + 1)
    kept.state, outputs = compute(kept.state, steps)
    kept.sequence, kept.steps = chunk.sequence, kept.steps + chunk.steps
    kept.results[chunk.sequence] = result(chunk, outputs)
    if stores(chunk.sequence):
        kept.store()
    reply = wire.ServerMessage()
    reply.CopyFrom(kept.results[chunk.sequence])
    reply.result.durable_sequence = kept.durable
    return reply


def too_fast(chunk: wire.Chunk, expected: int, milliseconds: int) -> wire.ServerMessage:
    """A chunk of a caller over its rate."""
    return refused(chunk, "CALLER_RATE", expected, retry_after_ms=str(milliseconds))


def result(chunk: wire.Chunk, outputs: np.ndarray) -> wire.ServerMessage:
    steps, width = outputs.shape
    return wire.ServerMessage(
        result=wire.Result(
            sequence=chunk.sequence,
            dtype=wire.DATA_TYPE_FLOAT32,
            steps=steps,
            outputs=width,
            data=outputs.tobytes(),
        )
    )


def refused(chunk: wire.Chunk, reason: str, expected: int, **metadata: str) -> wire.ServerMessage:
    return wire.ServerMessage(
        refused=wire.Refused(
            sequence=chunk.sequence,
            reason=reason,
            message=f"sequence is {chunk.sequence}: {reason}",
            metadata={"sequence": str(chunk.sequence), **metadata},
            expected_sequence=expected,
        )
    )
