"""One sequence, and what its requests can be refused for.

Owns what is known of an id, and the words of these refusals. When they are due is `sequences`' to
say.
"""

import asyncio
from collections import deque

from service.callers.access import Identity
from service.errors import InvalidArgument, shorten
from service.inference.handover import Key
from service.inference.requests import Done, Request, SequenceId
from service.models.served import ServedModel
from service.streams.live import Stream


class Sequence:
    """One id: its stream while it has one, and the requests that wait for each other."""

    __slots__ = ("busy", "caller", "passing", "quiet", "stream", "touched", "waiting")

    def __init__(self, caller: Identity) -> None:
        """Starts without a stream."""
        self.caller = caller
        self.stream: Stream | None = None
        self.waiting: deque[tuple[Request, Done]] = deque()
        self.busy = False
        self.passing = False
        # Set once no request is under way or waits.
        self.quiet: asyncio.Event | None = None
        self.touched = 0.0


def check_id(sequence: SequenceId, most: int) -> None:
    """Refuses a text of more than so many characters.

    Raises:
        InvalidArgument: with reason SEQUENCE_ID_LENGTH.
    """
    if isinstance(sequence, str) and len(sequence) > most:
        raise InvalidArgument(
            f"sequence_id has {len(sequence)} characters; take at most {most}",
            reason="SEQUENCE_ID_LENGTH",
        )


def not_live(key: Key, model: ServedModel, *, expired: bool) -> InvalidArgument:
    """The refusal of a request without START to a sequence that has no stream."""
    if not model.signature.states:
        return InvalidArgument(
            f"model {model.name} keeps no state; leave sequence_id out",
            reason="MODEL_STATELESS",
        )
    return InvalidArgument(
        f"sequence {shorten(str(key[1]))!r} of model {key[0]} "
        + ("was idle for too long and has ended" if expired else "is not live")
        + "; set sequence_start on its first request",
        reason="SEQUENCE_EXPIRED" if expired else "SEQUENCE_NOT_STARTED",
        model=key[0],
        sequence_id=shorten(str(key[1])),
    )


def same_version(stream: Stream, request: Request) -> ServedModel:
    """The model of a sequence, which stays with its version.

    Raises:
        InvalidArgument: the request names another version.
    """
    model = stream.model
    if request.version not in ("", str(model.version)):
        raise InvalidArgument(
            f"model_version is {shorten(request.version)!r}; this sequence runs on version "
            f"{model.version} until it ends",
            reason="VERSION_CHANGED",
        )
    return model
