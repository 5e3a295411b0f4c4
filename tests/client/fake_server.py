"""A real gRPC server on a loopback port, with a small model and a choice of misbehaviour.

It keeps streams whose calls broke off, as the contract says, in `FakeServer.kept`, which several
servers may share. The server reads and writes strictly in turn,
as a careful one does: a client that writes without reading would bring both to a stop.
"""

import queue
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from fake_model import FEATURES, OUTPUTS, Kept, Refusal, answer, blob, open_kept, too_fast
from fake_refusals import abort
from fake_states import FakeStates

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import (
    add_StateServiceServicer_to_server,
)
from protos.statewise.v1.stream_pb2_grpc import (
    StreamServiceServicer,
    add_StreamServiceServicer_to_server,
)

MAX_STREAMS = 64


@dataclass
class Behaviour:
    """What the server tells of its model, and how it differs from a good one."""

    max_chunk_steps: int = 1000
    outputs_are_classes: bool = False
    steps_per_second: float = 10.0
    twist: Callable[[wire.ServerMessage], wire.ServerMessage | None] = lambda reply: reply
    # Called before Opened and before each answer; it may end the call.
    interfere: Callable[[grpc.ServicerContext, int], None] = lambda context, sequence: None
    # Whether the state behind a chunk is stored where a kill does not reach it.
    stores: Callable[[int], bool] = lambda sequence: True
    # For how many milliseconds a chunk is refused, as of a caller over its rate; None takes it.
    holds_up: Callable[[int], int | None] = lambda sequence: None
    fingerprint: str = "sha256:bits"
    digest: str = "sha256:weights"


@dataclass
class FakeServer(StreamServiceServicer):
    """Serves one behaviour.

    Attributes:
        target: host:port.
        sizes: steps of every chunk that came in.
        endings: "closed" or "cut" for each call, once it has ended.
        kept: the streams by id.
        openings: every Open that came in.
        metadata: of every call.
        asked: the questions that came in.
        breaks: whose calls break once they are done, so many times each.
        refuses: which are refused with a reason, so many times each.
    """

    behaviour: Behaviour
    target: str = ""
    sizes: list[int] = field(default_factory=list)
    endings: "queue.Queue[str]" = field(default_factory=queue.Queue)
    kept: dict[str, Kept] = field(default_factory=dict)
    openings: list[wire.Open] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    breaks: Counter[str] = field(default_factory=Counter)
    refuses: dict[str, str] = field(default_factory=dict)

    def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_STREAMS), options=(("grpc.so_reuseport", 0),)
        )
        add_StreamServiceServicer_to_server(self, self._server)
        add_StateServiceServicer_to_server(FakeStates(self), self._server)
        # The same place again, where it was started before.
        address = self.target or "127.0.0.1:0"
        port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )
        self.target = f"127.0.0.1:{port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def kill(self) -> None:
        """Stops, and leaves of each stream what was stored."""
        self.stop()
        for stream_id, kept in list(self.kept.items()):
            if not kept.closed:
                left = kept.lose()
                self.kept.pop(stream_id)
                if left is not None:
                    self.kept[stream_id] = left

    def Stream(self, requests, context):  # noqa: N802 - the contract names it
        ending = "cut"
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            for reply in self._converse(requests, context):
                twisted = self.behaviour.twist(reply)
                if twisted is None:
                    return
                yield twisted
                if reply.HasField("closed"):
                    ending = "closed"
        finally:
            self.endings.put(ending)

    def _converse(self, requests, context) -> Iterator[wire.ServerMessage]:
        opening = next(requests).open
        self.openings.append(opening)
        self.behaviour.interfere(context, 0)
        opening.stream_id = opening.stream_id or "made-up"
        try:
            kept, resumed = open_kept(self.kept, opening)
        except Refusal as refusal:
            code, reason = refusal.args
            abort(context, code, reason)
        kept.calls += 1
        call = kept.calls
        yield self._opened(opening, kept, resumed)
        if resumed and opening.resume.HasField("received"):
            yield from [
                kept.results[one] for one in range(opening.resume.received + 1, kept.sequence + 1)
            ]
        returns = False
        for request in requests:
            if request.WhichOneof("message") == "close":
                returns = request.close.return_state
                break
            self.sizes.append(request.chunk.steps)
            self.behaviour.interfere(context, request.chunk.sequence)
            if kept.calls != call:
                abort(context, grpc.StatusCode.FAILED_PRECONDITION, "TAKEN_OVER")
            pause = self.behaviour.holds_up(request.chunk.sequence)
            if pause is not None:
                yield too_fast(request.chunk, kept.sequence + 1, pause)
                continue
            yield answer(kept, request.chunk, self.behaviour.stores)
        else:
            # Cut off, or half-closed: gRPC's own iterator does not tell which.
            return
        kept.closed = True
        closed = wire.Closed(steps=kept.steps, state=blob(kept) if returns else b"")
        self.behaviour.interfere(context, -1)
        yield wire.ServerMessage(closed=closed)

    def _opened(self, opening: wire.Open, kept: Kept, resumed: bool) -> wire.ServerMessage:
        return wire.ServerMessage(
            opened=wire.Opened(
                stream_id=opening.stream_id,
                model=opening.model,
                version=opening.version or "3",
                content_digest=self.behaviour.digest,
                numeric_fingerprint=self.behaviour.fingerprint,
                features=FEATURES,
                outputs=OUTPUTS,
                outputs_are_classes=self.behaviour.outputs_are_classes,
                steps_per_second=self.behaviour.steps_per_second,
                max_chunk_steps=self.behaviour.max_chunk_steps,
                expected_sequence=kept.sequence + 1,
                steps=kept.steps,
                resumed=resumed,
                durable=True,
            )
        )
