"""Between messages of the native wire and the seam.

Owns the conversion, in both directions, and nothing else.
"""

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2 import KeptResult
from service.chunks import Float32
from service.durability.openings import Opened, Opening, Resume
from service.errors import ServiceError
from service.live import Stream as LiveStream
from service.rpc.access import caller

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


def result(stream: LiveStream, sequence: int, outputs: Float32) -> wire.ServerMessage:
    """The outputs of a chunk."""
    message = wire.ServerMessage()
    # In place: a message made by keywords costs twice as much, and this is made for every chunk.
    made = message.result
    made.sequence = sequence
    made.dtype = _FLOAT32
    made.steps, made.outputs = outputs.shape
    made.data = outputs.tobytes()
    made.durable_sequence = _durable(stream)
    return message


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
