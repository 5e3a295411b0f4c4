"""A real gRPC server on a loopback port, with a small model and a choice of misbehaviour.

The model's state is the running sum of its steps, in float32, so that every step counts and their
order can be told from the outputs. The server reads and writes strictly in turn, as a careful one
does: a client that writes without reading would bring both to a stop.
"""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np

from protos.statewise.v1 import status_pb2
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceServicer,
    add_StreamServiceServicer_to_server,
)

FEATURES = ("ax", "ay", "az")
OUTPUTS = ("low", "high")
# A value that the client lets pass and this server does not.
FORBIDDEN = 1e6
MAX_STREAMS = 64


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
class Behaviour:
    """What the server tells of its model, and how it differs from a good one."""

    max_chunk_steps: int = 1000
    outputs_are_classes: bool = False
    steps_per_second: float = 10.0
    twist: Callable[[wire.ServerMessage], wire.ServerMessage | None] = lambda reply: reply
    # Called before Opened and before each answer; it may end the call.
    interfere: Callable[[grpc.ServicerContext, int], None] = lambda context, sequence: None


@dataclass
class FakeServer(StreamServiceServicer):
    """Serves one behaviour.

    Attributes:
        target: host:port.
        sizes: steps of every chunk that came in.
        endings: "closed" or "cut" for each call, once it has ended.
    """

    behaviour: Behaviour
    target: str = ""
    sizes: list[int] = field(default_factory=list)
    endings: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._server = grpc.server(ThreadPoolExecutor(MAX_STREAMS))
        add_StreamServiceServicer_to_server(self, self._server)
        address = "127.0.0.1:0"
        port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )
        self.target = f"127.0.0.1:{port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def Stream(self, requests, context):  # noqa: N802 - the contract names it
        ending = "cut"
        try:
            for reply in self._converse(requests, context):
                twisted = self.behaviour.twist(reply)
                if twisted is None:
                    return
                yield twisted
            ending = "closed"
        finally:
            self.endings.put(ending)

    def _converse(self, requests, context) -> Iterator[wire.ServerMessage]:
        opening = next(requests).open
        self.behaviour.interfere(context, 0)
        yield self._opened(opening)
        state, expected, taken = np.zeros(len(FEATURES), np.float32), 1, 0
        for request in requests:
            if request.WhichOneof("message") == "close":
                break
            chunk = request.chunk
            self.sizes.append(chunk.steps)
            self.behaviour.interfere(context, chunk.sequence)
            steps = np.frombuffer(chunk.data, "<f4").reshape(chunk.steps, chunk.features)
            if chunk.sequence != expected:
                yield refused(chunk, "SEQUENCE_GAP", expected)
            elif (steps == FORBIDDEN).any():
                yield refused(chunk, "FORBIDDEN", expected)
            else:
                state, outputs = compute(state, steps)
                yield result(chunk, outputs)
                expected, taken = expected + 1, taken + chunk.steps
        yield wire.ServerMessage(closed=wire.Closed(steps=taken))

    def _opened(self, opening: wire.Open) -> wire.ServerMessage:
        return wire.ServerMessage(
            opened=wire.Opened(
                stream_id=opening.stream_id or "made-up",
                model=opening.model,
                version=opening.version or "3",
                content_digest="sha256:weights",
                numeric_fingerprint="sha256:bits",
                features=FEATURES,
                outputs=OUTPUTS,
                outputs_are_classes=self.behaviour.outputs_are_classes,
                steps_per_second=self.behaviour.steps_per_second,
                max_chunk_steps=self.behaviour.max_chunk_steps,
            )
        )


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


def refused(chunk: wire.Chunk, reason: str, expected: int) -> wire.ServerMessage:
    return wire.ServerMessage(
        refused=wire.Refused(
            sequence=chunk.sequence,
            reason=reason,
            message=f"sequence is {chunk.sequence}: {reason}",
            metadata={"sequence": str(chunk.sequence)},
            expected_sequence=expected,
        )
    )


def abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, retry_seconds: int = 0
) -> None:
    """Ends the call with the details that a Statewise server gives."""
    info = status_pb2.ErrorInfo(reason=reason, domain="statewise.v1", metadata={"model": "sum"})
    status = status_pb2.Status(code=code.value[0], message="not today; try the other server")
    prefix = "type.googleapis.com/google.rpc."
    status.details.add(type_url=f"{prefix}ErrorInfo", value=info.SerializeToString())
    if retry_seconds:
        retry = status_pb2.RetryInfo(retry_delay={"seconds": retry_seconds, "nanos": 500_000_000})
        status.details.add(type_url=f"{prefix}RetryInfo", value=retry.SerializeToString())
    trailer = ("grpc-status-details-bin", status.SerializeToString())
    context.set_trailing_metadata((trailer,))
    context.abort(code, status.message)
