"""How a stream is opened and ends on the wire.

Owns the messages Opened, Close and Closed, and what a stream is told when it opens; what is asked
for is `opening`'s, and what comes between `exchange`'s. Knows nothing of gRPC: messages in,
messages out.
"""

from dataclasses import dataclass

from statewise_client._generated.statewise.v1.stream_pb2 import (
    ClientMessage,
    Close,
    ServerMessage,
)
from statewise_client.errors import ProtocolError


@dataclass(frozen=True)
class StreamInfo:
    """What the server said of an open stream.

    Attributes:
        stream_id: unique among the server's streams.
        model, version: what answers.
        content_digest: "sha256:..." of the model file: which weights answer.
        numeric_fingerprint: servers with equal fingerprints give equal bits.
        features: names of a step's numbers, in their order.
        outputs: names of an output's numbers, in their order.
        outputs_are_classes: whether they are probabilities of classes that exclude each other.
        steps_per_second: 0 where steps are not tied to time.
        max_chunk_steps: most steps of one message; longer chunks are sent in parts.
        expected_sequence: number of the first chunk: 1, or the next one of a stream that goes on.
        steps: that its state had taken when it opened.
        resumed: whether it goes on with an earlier call's state.
        fingerprint_changed: whether, at any time, it went on on another kind of processor: within
            tolerance, not to the same bits.
        durable: whether its state is stored where it outlives the server's process.
    """

    stream_id: str
    model: str
    version: str
    content_digest: str
    numeric_fingerprint: str
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    outputs_are_classes: bool
    steps_per_second: float
    max_chunk_steps: int
    expected_sequence: int = 1
    steps: int = 0
    resumed: bool = False
    fingerprint_changed: bool = False
    durable: bool = False


@dataclass(frozen=True)
class Ended:
    """How a stream ended.

    Attributes:
        steps: that it took in its life.
        state: its last state, where it was asked for.
    """

    steps: int
    state: bytes = b""


def closing(*, return_state: bool = False) -> ClientMessage:
    """The message that closes a stream."""
    return ClientMessage(close=Close(return_state=return_state))


def read_opened(reply: ServerMessage) -> StreamInfo:
    """What the server says of the stream that it opened.

    Raises:
        ProtocolError: the reply is no Opened, or tells of a stream that can't be fed.
    """
    _expect(reply, "opened")
    opened = reply.opened
    if not (opened.features and opened.outputs and opened.max_chunk_steps):
        raise ProtocolError(
            f"opened names {len(opened.features)} features, {len(opened.outputs)} outputs and "
            f"{opened.max_chunk_steps} steps a chunk; each has to be at least 1"
        )
    return StreamInfo(
        stream_id=opened.stream_id,
        model=opened.model,
        version=opened.version,
        content_digest=opened.content_digest,
        numeric_fingerprint=opened.numeric_fingerprint,
        features=tuple(opened.features),
        outputs=tuple(opened.outputs),
        outputs_are_classes=opened.outputs_are_classes,
        steps_per_second=opened.steps_per_second,
        max_chunk_steps=opened.max_chunk_steps,
        expected_sequence=opened.expected_sequence or 1,
        steps=opened.steps,
        resumed=opened.resumed,
        fingerprint_changed=opened.fingerprint_changed,
        durable=opened.durable,
    )


def read_closed(reply: ServerMessage) -> Ended:
    """How the stream ended.

    Raises:
        ProtocolError: the reply is no Closed.
    """
    _expect(reply, "closed")
    return Ended(reply.closed.steps, reply.closed.state)


def _expect(reply: ServerMessage, wanted: str) -> None:
    kind = reply.WhichOneof("message") or "empty"
    if kind != wanted:
        raise ProtocolError(f"a reply is {kind} where {wanted} was due")
