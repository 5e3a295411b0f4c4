"""Between messages of the native wire and the seam.

Owns the conversion, in both directions, and nothing else.
"""

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2 import KeptResult
from service.durability.openings import Opened, Opening, Resume
from service.errors import ServiceError
from service.rpc.access import caller
from service.streams.chunks import Chunk, Float32
from service.streams.live import Stream as LiveStream

_FLOAT32 = wire.DATA_TYPE_FLOAT32


def opened_message(opened: Opened, *, durable: bool) -> wire.Opened:
    """What a caller is told of its stream; `durable` says whether a store outlives the process."""
    stream = opened.stream
    model = stream.model
    return wire.Opened(
        stream_id=stream.id,
        model=model.name,
        version=str(model.version),
        content_digest=model.artifact.digest,
        numeric_fingerprint=model.self_test.fingerprint,
        features=model.artifact.features or _numbered("x", model.signature.inputs[0].size),
        outputs=model.artifact.outputs or _numbered("y", model.signature.outputs[0].size),
        outputs_are_classes=model.artifact.classes,
        steps_per_second=model.artifact.steps_per_second,
        max_chunk_steps=model.max_chunk_steps,
        expected_sequence=stream.expected,
        steps=stream.steps,
        resumed=opened.resumed,
        fingerprint_changed=opened.fingerprint_changed,
        durable=durable and stream.keeping is not None,
    )


def opening(message: wire.Open) -> Opening:
    """What a caller asks for."""
    resume = None
    if message.HasField("resume"):
        given = message.resume
        resume = Resume(
            given.received if given.HasField("received") else None,
            given.replay_from if given.HasField("replay_from") else None,
        )
    return Opening(
        model=message.model,
        version=message.version,
        stream_id=message.stream_id,
        owner=caller().name,
        resume=resume,
        initial_state=message.initial_state,
        ephemeral=message.ephemeral,
        replace=message.replace,
    )


def chunk_of(message: wire.Chunk) -> Chunk:
    """What a caller sends to be computed."""
    dtype = message.dtype
    if dtype == _FLOAT32:
        name = "float32"
    else:
        name = "" if dtype == wire.DATA_TYPE_UNSPECIFIED else str(dtype)
    return Chunk(
        message.sequence,
        name,
        message.steps,
        message.features,
        message.data,
        message.acknowledged if message.HasField("acknowledged") else None,
    )


def _durable(stream: LiveStream) -> int:
    return stream.keeping.durable if stream.keeping is not None else 0


def again(result: KeptResult, stream: LiveStream) -> wire.ServerMessage:
    """A result that the caller has asked to have again."""
    return wire.ServerMessage(
        result=wire.Result(
            sequence=result.sequence,
            dtype=wire.DATA_TYPE_FLOAT32,
            steps=result.steps,
            outputs=result.outputs,
            data=result.data,
            durable_sequence=_durable(stream),
        )
    )


class ResultMessage:
    """The results of a stream's chunks, one after the other in one message.

    gRPC turns a message into bytes as soon as it is written, and a new one for every chunk would
    cost more than to fill it in.
    """

    __slots__ = ("_message", "_result", "_stream")

    def __init__(self, stream: LiveStream) -> None:
        """Made once for a call."""
        self._stream = stream
        self._message = wire.ServerMessage()
        self._result = self._message.result
        self._result.dtype = _FLOAT32

    def of(self, sequence: int, outputs: Float32) -> wire.ServerMessage:
        """The outputs of a chunk, (steps, outputs); valid until the next."""
        made = self._result
        made.sequence = sequence
        made.steps, made.outputs = outputs.shape
        made.data = outputs.tobytes()
        made.durable_sequence = _durable(self._stream)
        return self._message


def refused(stream: LiveStream, sequence: int, error: ServiceError) -> wire.ServerMessage:
    """A chunk that was not computed."""
    metadata = error.metadata
    if error.retry_after is not None:
        metadata = {**metadata, "retry_after_ms": str(int(error.retry_after * 1e3))}
    return wire.ServerMessage(
        refused=wire.Refused(
            sequence=sequence,
            reason=error.reason,
            message=error.message,
            metadata=metadata,
            expected_sequence=stream.expected,
        )
    )


def _numbered(prefix: str, count: int) -> list[str]:
    """Names for the numbers of a model that names none."""
    return [f"{prefix}{index}" for index in range(count)]
