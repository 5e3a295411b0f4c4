"""What a caller asks for when it opens a stream, or opens it again.

Owns the message Open. Knows nothing of gRPC, nor of when a stream is opened again.
"""

import secrets
from dataclasses import dataclass, replace

from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage, Open, Resume
from statewise_client.errors import InputError
from statewise_client.protocol import StreamInfo


@dataclass(frozen=True)
class Opening:
    """What a caller asks for.

    Attributes:
        model: its name.
        version: empty for the newest.
        stream_id: empty for one that is made here.
        resume: goes on with the stream of that id.
        received: with `resume`: the highest number whose outputs the caller has; those behind it
            are sent again. None where it wants none of them.
        initial_state: a state to begin with; empty for the model's own.
        ephemeral: the stream ends with its call and is never stored.
        replace: takes the place of a stream that is kept under the same id.
    """

    model: str
    version: str = ""
    stream_id: str = ""
    resume: bool = False
    received: int | None = None
    initial_state: bytes = b""
    ephemeral: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        """Checks what can be checked without a server.

        Raises:
            InputError: a name is not text that UTF-8 can carry, or two wishes exclude each other.
        """
        for field in ("model", "version", "stream_id"):
            text = getattr(self, field)
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InputError(
                    f"{field} is {text!r}, which is not valid text; correct it"
                ) from None
        if self.resume and not self.stream_id:
            raise InputError("resume needs a stream_id; name the stream that is to go on")
        for other in ("initial_state", "replace", "ephemeral"):
            if self.resume and getattr(self, other):
                raise InputError(f"resume goes on with what is kept; leave {other} out")
        if self.received is not None and (self.received < 0 or not self.resume):
            raise InputError(
                f"received is {self.received}; give 0 or more, and resume=True, or leave it out"
            )

    @property
    def named(self) -> "Opening":
        """The same with a stream id, made here so that a broken open can be asked for again."""
        return self if self.stream_id else replace(self, stream_id=secrets.token_hex(8))

    def message(self, *, again: bool = False) -> ClientMessage:
        """The message that opens the stream.

        Args:
            again: whether an earlier try may have opened it, unseen, under an id that no other
                stream has.
        """
        resume = None
        if self.resume:
            resume = Resume(received=self.received)
        elif again and not self.ephemeral:
            resume = Resume(received=0, replay_from=1)
        return ClientMessage(
            open=Open(
                model=self.model,
                version=self.version,
                stream_id=self.stream_id,
                resume=resume,
                initial_state=self.initial_state,
                ephemeral=self.ephemeral,
                replace=self.replace and resume is None,
            )
        )

    def resuming(self, info: StreamInfo, received: int, lowest: int) -> ClientMessage:
        """The message that opens a stream again whose call has broken.

        Args:
            info: what was said when it opened first.
            received: the highest number whose result has arrived.
            lowest: the lowest number that can be sent again.
        """
        # A stream that was not begun by this caller can't be begun anew by it.
        begun_here = not self.resume
        anew = lowest == 1 and begun_here
        resume = Resume(received=received, replay_from=lowest if lowest > 1 or anew else None)
        return ClientMessage(
            open=Open(
                model=self.model,
                version=info.version,
                stream_id=info.stream_id,
                resume=resume,
                initial_state=self.initial_state if anew else b"",
            )
        )
