"""What a caller asks for when it opens a stream, what it gets, and what it can be refused for.

Owns the words of an open and the checks of a resume against what is kept. Knows nothing of stores,
transports or how a stream is opened.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from protos.statewise.v1.state_pb2 import Kept, KeptResult
from service.errors import (
    AlreadyExists,
    Gone,
    InvalidArgument,
    NotFound,
    ServiceError,
    Unavailable,
    shorten,
)
from service.models.served import ServedModel
from service.stores.store import Fate, Record
from service.streams.live import Stream
from service.tensors import Array

# A stream that is gone without its owner's wish begins anew where its caller still has all of it.
BEGIN_ANEW = (Fate.UNKNOWN, Fate.EXPIRED, Fate.EVICTED)
_FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True)
class Resume:
    """How much of a stream its caller still has.

    Attributes:
        received: highest number of a chunk whose result it has; None where it wants none again.
        replay_from: lowest number of the chunks that it can send again; None where it goes on
            wherever the state stands.
    """

    received: int | None = None
    replay_from: int | None = None


@dataclass(frozen=True)
class Opening:
    """What a caller asks for.

    Attributes:
        version: empty for the newest.
        stream_id: empty for a new one.
        owner: identity of the caller.
        resume: None begins a new stream.
        initial_state: a blob to begin with; empty for the model's initial state.
        ephemeral: whether the stream ends with its call.
        replace: whether it takes the place of one that is kept under its id.
    """

    model: str
    version: str = ""
    stream_id: str = ""
    owner: str = ""
    resume: Resume | None = None
    initial_state: bytes = b""
    ephemeral: bool = False
    replace: bool = False


@dataclass(frozen=True)
class Opened:
    """An open stream.

    Attributes:
        resumed: whether an earlier call's state goes on.
        fingerprint_changed: whether its state was computed on another kind of processor.
        results: that the caller asked to have again, in their order.
    """

    stream: Stream
    resumed: bool = False
    fingerprint_changed: bool = False
    results: tuple[KeptResult, ...] = ()


def check_model(opening: Opening, model: ServedModel) -> None:
    """Whether a stream of a model is what a resume asks for.

    Raises:
        InvalidArgument: with reason STREAM_MODEL.
    """
    if opening.model not in ("", model.name) or opening.version not in ("", str(model.version)):
        raise InvalidArgument(
            f"stream {shorten(opening.stream_id)!r} runs on {model.name}/{model.version}; resume "
            "it with that, or with model and version left out",
            reason="STREAM_MODEL",
        )


def check_resume(resume: Resume, sequence: int, results: Sequence[int]) -> None:
    """Whether a caller and a state of so many chunks have all of a stream between them.

    Args:
        resume: what the caller has.
        sequence: chunks that the state has taken.
        results: numbers of the chunks whose results are still there, growing.

    Raises:
        Gone: with reason STATE_LOST or OUTPUTS_LOST.
    """
    if resume.replay_from is not None and resume.replay_from > sequence + 1:
        raise Gone(
            f"the state has taken {sequence} chunks, and the caller can send again from "
            f"{resume.replay_from} on; what is between them is lost: open a new stream",
            reason="STATE_LOST",
            sequence=sequence,
        )
    received = sequence if resume.received is None else resume.received
    if received < sequence and (not results or results[0] > received + 1):
        raise Gone(
            f"the caller has the results up to {received} and the state is at {sequence}; the "
            f"results that are kept begin at {results[0] if results else sequence + 1}: open a new "
            "stream, or resume without `received`",
            reason="OUTPUTS_LOST",
            sequence=sequence,
        )


def wanted(results: Iterable[KeptResult], resume: Resume) -> Iterator[KeptResult]:
    """The results that a caller asks to have again."""
    if resume.received is None:
        return iter(())
    received = resume.received
    return (one for one in results if one.sequence > received)


def kept_results(results: Iterable[tuple[int, Array]]) -> list[KeptResult]:
    """Results by number, (steps, outputs) each, as messages."""
    return [
        KeptResult(
            sequence=sequence,
            steps=len(outputs),
            outputs=outputs.shape[1],
            data=np.ascontiguousarray(outputs, _FLOAT32).tobytes(),
        )
        for sequence, outputs in results
    ]


def outputs_of(result: KeptResult) -> Array:
    """A result's outputs, (steps, outputs)."""
    return np.frombuffer(result.data, _FLOAT32).reshape(result.steps, result.outputs)


def parsed(record: Record) -> Kept:
    """What a record holds.

    Raises:
        Unavailable: it can't be read, as if the store were not there.
    """
    kept = None
    with suppress(DecodeError):
        kept = Kept.FromString(record.payload)
    if kept is None or not _agrees(kept, record.sequence):
        raise Unavailable(
            f"what the store keeps of stream {shorten(record.stream_id)!r} can't be read",
            reason="STORE_CONTENT",
        )
    return kept


def _agrees(kept: Kept, sequence: int) -> bool:
    """Whether a chunk behind the first has left a state, and the results lead up to it, whole."""
    first = sequence - len(kept.results) + 1
    return (bool(kept.state) or not sequence) and all(
        one.sequence == number and len(one.data) == one.steps * one.outputs * _FLOAT32.itemsize
        for number, one in enumerate(kept.results, first)
    )


def is_kept(stream_id: str) -> AlreadyExists:
    """Why no new stream can have an id."""
    return AlreadyExists(
        f"stream_id is {shorten(stream_id)!r}, which is kept; resume it, close it first, or take "
        "another",
        reason="STREAM_KEPT",
        stream_id=shorten(stream_id),
    )


def not_there(stream_id: str, fate: Fate, remedy: str = "") -> ServiceError:
    """Why a stream can't be had, as far as the store can tell.

    Args:
        stream_id: which stream.
        fate: what became of it.
        remedy: what to do; where it is left out, that of somebody who meant to go on with it.
    """
    anew = remedy or "open a new one"
    name = shorten(stream_id)
    if fate is Fate.CLOSED:
        return Gone(f"stream {name!r} was closed; {anew}", reason="STREAM_CLOSED")
    if fate is Fate.EXPIRED:
        return Gone(
            f"stream {name!r} has expired: nobody advanced it for too long; {anew}",
            reason="EXPIRED",
        )
    if fate is Fate.EVICTED:
        return Gone(
            f"stream {name!r} was given up for others, since the store was full; {anew}",
            reason="EVICTED",
        )
    return NotFound(
        f"stream {name!r} is not known here; {remedy or 'open it without resume'}",
        reason="STREAM_NOT_FOUND",
        stream_id=name,
    )
