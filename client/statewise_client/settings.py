"""What a client is told once: where servers are, who it is, how long it waits.

Owns the defaults, each with its reason, and their checks. Both clients share them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from statewise_client.channel import OPEN_SECONDS, check_target
from statewise_client.errors import InputError
from statewise_client.reconnect import RESUME_SECONDS
from statewise_client.replay import REPLAY_BYTES


@dataclass(frozen=True)
class Settings:
    """What holds for all streams of a client.

    Attributes:
        target: HOST:PORT, or several of servers that share their streams.
        credentials: for TLS; None for an open connection.
        token: who the caller is, sent with every call; empty for nobody.
        open_timeout: seconds in which a stream has to be open, the connection included.
        resume_timeout: seconds for which a broken stream tries to go on; 0 ends it at once.
        replay_bytes: most bytes of a stream's chunks that are kept to be sent again.
    """

    target: str | Sequence[str]
    credentials: grpc.ChannelCredentials | None = None
    token: str = ""
    open_timeout: float = OPEN_SECONDS
    resume_timeout: float = RESUME_SECONDS
    replay_bytes: int = REPLAY_BYTES

    def __post_init__(self) -> None:
        """Checks every setting.

        Raises:
            InputError: one is out of its range.
        """
        if not self.targets:
            raise InputError("target names no server; write HOST:PORT, such as localhost:8500")
        for target in self.targets:
            check_target(target)
        # What an HTTP header may carry.
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise InputError("token has characters that no header carries; give it as it was made")
        if not self.open_timeout > 0:
            raise InputError(f"open_timeout is {self.open_timeout}; give seconds above 0")
        if not 0 <= self.resume_timeout < math.inf:
            raise InputError(f"resume_timeout is {self.resume_timeout}; give seconds, or 0")
        if self.replay_bytes < 0:
            raise InputError(f"replay_bytes is {self.replay_bytes}; give bytes, or 0")

    @property
    def targets(self) -> tuple[str, ...]:
        """Each server's HOST:PORT once."""
        if isinstance(self.target, str):
            return (self.target,)
        return tuple(dict.fromkeys(self.target))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()
