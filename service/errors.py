"""What can go wrong, in words that name no transport.

Owns the error tree and the neutral codes. Knows nothing of gRPC: `rpc/status.py` maps the codes.

    ServiceError                  code       the mistake is
    ├── InvalidArgument           INVALID    in what was sent: a chunk, an open
    ├── NotFound                  MISSING    a name that was never there
    ├── AlreadyExists             TAKEN      an id that is in use
    ├── ProtocolViolation         STATE      the right message at the wrong time
    ├── Gone                      STATE      what is asked for was there, and no more
    ├── Exhausted                 FULL       nobody's: a limit is reached, try again later
    │   └── RateExceeded                     too many steps a second; the stream lives on
    ├── Unauthenticated           UNKNOWN    a token or certificate that is missing or nobody's
    ├── Forbidden                 FORBIDDEN  in asking for what others may do
    ├── Unavailable               AWAY       nobody's: this server is stopping
    ├── ModelFault                FAULT      the model's: it failed on an input that it accepted
    ├── Unforeseen                BROKEN     this service's own; what it was is in the log alone
    └── UserError                 USER       in a command or a file on this machine
        ├── SettingsError                    a setting out of its range
        ├── ArtifactError                    a model file that can't be served
        ├── ProviderError                    an execution provider that isn't really there
        ├── TableError                       a table that can't be scored
        │   └── NoRoom                       a disk that is full
        └── WorkerFailed                     a worker process that ended before it served
"""

from enum import Enum

# A line or two of what a model's file says of itself, and what is wrong with it.
_LONGEST_ARTIFACT_MESSAGE = 1_200


class Code(Enum):
    """Kinds of failure, for a transport to map."""

    INVALID = "invalid"
    MISSING = "missing"
    TAKEN = "taken"
    STATE = "state"
    FULL = "full"
    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"
    AWAY = "away"
    FAULT = "fault"
    BROKEN = "broken"
    USER = "user"


class ServiceError(Exception):
    """An expected failure.

    Attributes:
        code: its kind.
        message: one line for people: the field, the value, the remedy.
        reason: an upper-case word for programs.
        metadata: the values in the message, for programs.
        retry_after: seconds after which another try makes sense; None where it makes none.
        inner: what the log and commands on this machine say behind the message; no caller is told.
    """

    code: Code

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        retry_after: float | None = None,
        inner: str = "",
        **metadata: object,
    ) -> None:
        super().__init__(f"{message}: {inner}" if inner else message)
        self.message = message
        self.reason = reason
        self.retry_after = retry_after
        self.inner = inner
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(ServiceError):
    """Something in the request is wrong and stays wrong however often it is sent."""

    code = Code.INVALID


class NotFound(ServiceError):
    """The request names something that was never there."""

    code = Code.MISSING


class AlreadyExists(ServiceError):
    """The request asks for an id that is in use."""

    code = Code.TAKEN


class ProtocolViolation(ServiceError):
    """A message that would be right at another time."""

    code = Code.STATE


class Gone(ServiceError):
    """What the request names was there once: it has expired, was closed, or is another's now."""

    code = Code.STATE


class Exhausted(ServiceError):
    """A limit of this server is reached."""

    code = Code.FULL


class RateExceeded(Exhausted):
    """A caller takes more steps a second than it may; what was sent was not computed."""


class Unauthenticated(ServiceError):
    """The caller has not shown who it is; never says which part of it was wrong."""

    code = Code.UNKNOWN


class Forbidden(ServiceError):
    """The caller is known, and may not do this."""

    code = Code.FORBIDDEN


class Unavailable(ServiceError):
    """This server is stopping."""

    code = Code.AWAY


class ModelFault(ServiceError):
    """The model failed, or answered with something that is not a number."""

    code = Code.FAULT


class Unforeseen(ServiceError):
    """A failure that nobody foresaw, as its caller may know of it; the log has the rest."""

    code = Code.BROKEN

    def __init__(self) -> None:
        super().__init__("internal error; see the server's log", reason="INTERNAL")


class UserError(ServiceError):
    """A mistake in a command or in a file on this machine; commands exit 2 on it."""

    code = Code.USER


class SettingsError(UserError):
    """A setting out of its range."""


class ArtifactError(UserError):
    """A model file that can't be served.

    Its message may quote the file, which may hold anything: a long one loses its middle, so that
    the file's name and the remedy stay.
    """

    def __init__(self, message: str) -> None:
        if len(message) > _LONGEST_ARTIFACT_MESSAGE:
            half = _LONGEST_ARTIFACT_MESSAGE // 2
            message = f"{message[:half]}...{message[-half:]}"
        super().__init__(shorten(message, len(message)))


class ProviderError(UserError):
    """An execution provider that was asked for and isn't really there."""


class TableError(UserError):
    """A table that can't be scored."""


class NoRoom(TableError):
    """A disk that is full; what was written before stands."""


class WorkerFailed(UserError):
    """A worker process ended before it served; it has said why itself."""


def stopping() -> Unavailable:
    """The one refusal of a server that is on its way out."""
    return Unavailable(
        "this server is stopping; open the stream on another",
        reason="SERVER_STOPPING",
        retry_after=1.0,
    )


def unloaded(model: str, version: int) -> Unavailable:
    """The refusal of a stream whose model has gone from under it."""
    return Unavailable(
        f"version {version} of {model} was unloaded; open the stream again",
        reason="MODEL_UNLOADED",
        retry_after=1.0,
    )


def shorten(text: str, longest: int = 128) -> str:
    """What a caller sent, fit to be said again: no megabyte of it, and in one line."""
    short = text if len(text) <= longest else f"{text[:longest]}..."
    return short if short.isprintable() else short.encode("unicode_escape").decode()
