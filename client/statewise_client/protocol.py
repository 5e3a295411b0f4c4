"""How a stream begins and ends on the wire.

Owns the messages Open, Opened, Close and Closed, and what a stream is told when it opens. What
comes between is `exchange`'s. Knows nothing of gRPC: messages in, messages out.
"""

from dataclasses import dataclass

from statewise_client._generated.statewise.v1.stream_pb2 import (
    ClientMessage,
    Close,
    Open,
    ServerMessage,
)
from statewise_client.errors import InputError, ProtocolError


@dataclass(frozen=True)
class StreamInfo:
    """What the server said of an open stream.

    Attributes:
        stream_id: unique among the server's live streams.
        model, version: what answers.
        content_digest: "sha256:..." of the model file: which weights answer.
        numeric_fingerprint: servers with equal fingerprints give equal bits.
        features: names of a step's numbers, in their order.
        outputs: names of an output's numbers, in their order.
        outputs_are_classes: whether they are probabilities of classes that exclude each other.
        steps_per_second: 0 where steps are not tied to time.
        max_chunk_steps: most steps of one message; longer chunks are sent in parts.
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


def opening(model: str, version: str, stream_id: str) -> ClientMessage:
    """The message that opens a stream.

    Raises:
        InputError: a name is not text that UTF-8 can carry.
    """
    for field, text in (("model", model), ("version", version), ("stream_id", stream_id)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"{field} is {text!r}, which is not valid text; correct it") from None
    return ClientMessage(open=Open(model=model, version=version, stream_id=stream_id))


def closing() -> ClientMessage:
    """The message that closes a stream."""
    return ClientMessage(close=Close())


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
    )


def read_closed(reply: ServerMessage) -> int:
    """The steps that the stream took in its life.

    Raises:
        ProtocolError: the reply is no Closed.
    """
    _expect(reply, "closed")
    return reply.closed.steps


def _expect(reply: ServerMessage, wanted: str) -> None:
    kind = reply.WhichOneof("message") or "empty"
    if kind != wanted:
        raise ProtocolError(f"a reply is {kind} where {wanted} was due")
