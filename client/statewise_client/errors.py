"""What can go wrong between a caller and a server, in words that name no transport.

    StatewiseError
    ├── ConnectionFailed     no server answers at the target
    │   └── ConnectionBroken   one was there, and the call to it broke off
    ├── StreamEnded          a server answered, and the call is over
    │   ├── StreamRefused    nothing was done: an unknown model or stream, a full server
    │   └── StreamFailed     an open stream can't go on: its state is lost, no server took it up
    ├── ProtocolError        a server's answer is not the protocol's; the stream is over
    ├── ChunkRefused         one chunk was not taken; the stream goes on as it was
    ├── StreamMisused        a call that the stream can't serve now: it is over, or has answers due
    └── InputError           a mistake in an argument, a command or a file on this machine

Knows nothing of gRPC; `status` makes the errors out of its statuses.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class StatewiseError(Exception):
    """An expected failure; its text is one line: the field, the value, the remedy."""


class ConnectionFailed(StatewiseError):
    """No server answers at the target.

    Attributes:
        begun: whether what was asked may have reached a server, and may be done.
    """

    def __init__(self, message: str, *, begun: bool = False) -> None:
        super().__init__(message)
        self.begun = begun


class ConnectionBroken(ConnectionFailed):
    """A server was there, and the call to it broke off."""

    def __init__(self, message: str) -> None:
        super().__init__(message, begun=True)


class StreamEnded(StatewiseError):
    """The call is over with a status.

    Attributes:
        code: a gRPC status name such as "NOT_FOUND".
        message: one line for people.
        reason: an upper-case word for programs such as "MODEL_NOT_FOUND"; empty where the
            server, or whatever stands before it, gave none.
        metadata: the values in the message, for programs.
        retry_after: seconds after which another try makes sense; None where none was named.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class StreamRefused(StreamEnded):
    """The server did not open the stream, or did not do what was asked with its state."""


class StreamFailed(StreamEnded):
    """An open stream was ended by the server or the network, and could not go on."""


class ProtocolError(StatewiseError):
    """The server answered what the protocol does not allow."""


class ChunkRefused(StatewiseError):
    """A chunk was not taken, by the check before sending or by the server; the stream goes on.

    Attributes:
        sequence: the number that the chunk had, or would have had.
        reason: an upper-case word for programs, such as "NON_FINITE_INPUT".
        message: one line for people.
        metadata: the values in the message, for programs.
        outputs: outputs of the steps that were taken before the refused part, (steps, outputs),
            where a chunk was so long that it was sent in parts; else None.
        retry_after: seconds after which the same chunk would be taken; None where it never is.
    """

    def __init__(
        self,
        sequence: int,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        outputs: NDArray[np.float32] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"chunk {sequence} is refused: {message}")
        self.sequence = sequence
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.outputs = outputs
        self.retry_after = retry_after


class StreamMisused(StatewiseError):
    """A call that the stream can't serve now: it is over, or it still owes answers."""


class InputError(StatewiseError):
    """A mistake in an argument, a command or a file on this machine."""
