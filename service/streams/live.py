"""A live stream: what is known of it while a call advances it.

Owns its words, and how whoever holds its call learns that it has ended. Knows nothing of models'
insides, stores or transports.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable

from service.errors import (
    AlreadyExists,
    Gone,
    InvalidArgument,
    ProtocolViolation,
    ServiceError,
    shorten,
)
from service.models.served import ServedModel
from service.streams.chunks import Chunk
from service.tensors import Array
from service.tick.slots import Slot

# What sequences are called in a store begins so; no caller's stream is to stand in their place.
RESERVED = "sequence/"
_log = logging.getLogger(__name__)


class Keeping:
    """What is known of a stream that outlives its call.

    Attributes:
        epoch: of this server's claim on it.
        durable: chunk up to which its state is stored where it outlives this process.
        stored: chunk up to which its state is in the store.
        results: of chunks that the caller has not acknowledged, by number, oldest first.
        unacknowledged: bytes of these.
        due: whether it is to be checkpointed as soon as its chunk is done.
        stored_steps: steps of the last checkpoint.
        since: when the oldest chunk was taken that no copy has, on the monotonic clock; 0 for none.
    """

    __slots__ = (
        "due", "durable", "epoch", "results", "since", "stored", "stored_steps", "unacknowledged",
    )  # fmt: skip

    def __init__(self, epoch: int, stored: int = 0, steps: int = 0) -> None:
        """Starts right after a claim, with a state of so many chunks and steps in the store."""
        self.epoch = epoch
        self.durable = 0
        self.stored = stored
        self.stored_steps = steps
        self.results: deque[tuple[int, Array]] = deque()
        self.unacknowledged = 0
        self.due = False
        self.since = 0.0

    def add(self, sequence: int, outputs: Array, most: int | None = None) -> None:
        """Remembers a result, (steps, outputs), in at most so many bytes of all but the newest.

        That one stays however large it is: a call that breaks before it is written asks for it.
        """
        self.results.append((sequence, outputs))
        self.unacknowledged += outputs.nbytes
        while most is not None and self.unacknowledged > most and len(self.results) > 1:
            self._drop()

    def acknowledge(self, sequence: int | None) -> None:
        """Forgets results that the caller has; all but the last where it does not say which.

        It comes with the next chunk, whose own result is added behind it.
        """
        if sequence is None:
            while len(self.results) > 1:
                self._drop()
            return
        results = self.results
        while results and results[0][0] <= sequence:
            self.unacknowledged -= results.popleft()[1].nbytes

    def _drop(self) -> None:
        _, outputs = self.results.popleft()
        self.unacknowledged -= outputs.nbytes


class Stream:
    """A live stream.

    Attributes:
        id: unique among live streams.
        owner: identity that opened it; "" without authentication.
        model: computes its steps.
        slot: holds its state.
        expected: number of the chunk that comes next.
        heard: chunks that its native call has brought, those that were refused among them.
        number: its number among the streams of this server, from 1.
        steps: steps taken so far.
        busy: whether a chunk is under way.
        ended: why the server closed it; None where it did not.
        keeping: None for a stream that ends with its call.
        on_end: told once where the server ends it.
        on_idle: told once when the chunk under way is done, each.
    """

    __slots__ = (
        "busy", "ended", "expected", "heard", "id", "keeping", "model", "number", "on_end",
        "on_idle", "owner", "slot", "steps",
    )  # fmt: skip

    def __init__(self, stream_id: str, number: int, model: ServedModel, slot: Slot) -> None:
        """Starts before the first step."""
        self.id = stream_id
        self.owner = ""
        self.number = number
        self.ended: ServiceError | None = None
        self.model = model
        self.slot = slot
        self.expected = 1
        self.heard = 0
        self.steps = 0
        self.busy = False
        self.keeping: Keeping | None = None
        self.on_end: Callable[[ServiceError], None] | None = None
        self.on_idle: list[Callable[[], None]] = []

    def tell_idle(self) -> None:
        """Tells those who wait that no chunk is under way."""
        idle, self.on_idle = self.on_idle, []
        for act in idle:
            act()

    def end(self, reason: ServiceError) -> None:
        """Tells whoever holds its call that the server has ended it."""
        self.ended = reason
        if self.on_end is not None:
            self.on_end(reason)
            self.on_end = None


def note(stream: Stream, event: str, level: int = logging.DEBUG) -> None:
    """Writes to the log what becomes of a stream; never called for a message."""
    if _log.isEnabledFor(level):
        model = stream.model
        fields = {"stream_id": stream.id, "model": model.name, "version": str(model.version)}
        _log.log(level, "stream %r %s", stream.id, event, extra=fields | {"steps": stream.steps})


def check_id(stream_id: str, most: int) -> None:
    """Refuses an id that no caller may give a stream.

    Raises:
        InvalidArgument: with reason STREAM_ID_LENGTH or STREAM_ID_RESERVED.
    """
    if len(stream_id) > most:
        raise InvalidArgument(
            f"stream_id has {len(stream_id)} characters; take at most {most}",
            reason="STREAM_ID_LENGTH",
        )
    if stream_id.startswith(RESERVED):
        raise InvalidArgument(
            f"stream_id is {shorten(stream_id)!r}; ids that begin with {RESERVED!r} are those of "
            "sequences on their way from one server to another: take another",
            reason="STREAM_ID_RESERVED",
        )


def gap(stream: Stream, chunk: Chunk) -> InvalidArgument:
    """The refusal of a chunk with another number than the next."""
    return InvalidArgument(
        f"sequence is {chunk.sequence}; send {stream.expected}, one more than the last chunk that "
        "got a result",
        reason="SEQUENCE_GAP",
        sequence=chunk.sequence,
        expected=stream.expected,
    )


def untimely(stream: Stream, sequence: int) -> ServiceError:
    """Why a stream takes no chunk now."""
    if stream.ended is not None:
        return stream.ended
    if stream.busy:
        return ProtocolViolation(
            f"chunk {sequence} came while another of stream {stream.id!r} is under way; "
            "wait for its result",
            reason="CHUNK_IN_FLIGHT",
        )
    return ProtocolViolation(
        f"stream {stream.id!r} is closed; open a new one", reason="STREAM_CLOSED"
    )


async def idle(stream: Stream) -> None:
    """Returns once no chunk of a stream is under way."""
    while stream.busy:
        done = asyncio.Event()
        stream.on_idle.append(done.set)
        await done.wait()


def new_id() -> str:
    """A name that no stream has."""
    return secrets.token_hex(8)


def is_open(stream_id: str) -> AlreadyExists:
    """The refusal of an id that a live stream has."""
    return AlreadyExists(
        f"stream_id is {stream_id!r}, which is open; take another, or leave it empty",
        reason="STREAM_EXISTS",
        stream_id=stream_id,
    )


def taken_over(stream_id: str) -> Gone:
    """The one refusal of a call whose stream goes on elsewhere."""
    return Gone(
        f"stream {stream_id!r} goes on in another call, which has taken it over",
        reason="TAKEN_OVER",
        stream_id=stream_id,
    )
