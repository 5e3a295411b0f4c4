"""The connections to servers: how they are named, kept alive and left.

Owns the options of channels, each with its reason, and the one channel to each server. Both clients
share them.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from statewise_client.errors import InputError, StatewiseError, StreamEnded, StreamMisused

# Seconds in which a stream has to be open: far above a round trip, and a connection that isn't
# made by then won't be.
OPEN_SECONDS = 10.0

OPTIONS: tuple[tuple[str, int], ...] = (
    # A stream may be silent for hours: the pings keep its way through proxies open, and a server
    # that vanished without a word is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that comes back is found within 2 s; the default waits up to 120.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Within a call's time it is known whether it was ever sent: one that was not may go elsewhere.
    # The default waits 20 s for a host that does not answer.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A new channel is a new connection, which a balancer may lead to another server.
    ("grpc.use_local_subchannel_pool", 1),
    # The server bounds its results by what it lets a chunk carry.
    ("grpc.max_receive_message_length", -1),
)

_Channel = TypeVar("_Channel")
_STOPPING = "SERVER_STOPPING"
_SCHEMES = ("unix", "unix-abstract", "vsock")


def check_target(target: str) -> str:
    """The target, if it names a port or a scheme of gRPC's (unix:, dns:).

    Raises:
        InputError: it does neither; without a word gRPC would try port 443, or take the port modulo
            65,536.
    """
    host, colon, port = target.rpartition(":")
    # unix:/path and its like name no port.
    named = 1 <= int(port) <= 65_535 if port.isdecimal() else host in _SCHEMES
    if not (host and colon and port and named):
        raise InputError(f"target is {target!r}; write HOST:PORT, such as localhost:8500")
    return target


class Channels(Generic[_Channel]):
    """A channel to each server that was called, made when it is."""

    def __init__(self, make: Callable[[str], _Channel]) -> None:
        """Begins without a connection.

        Args:
            make: a channel to a target.
        """
        self._make = make
        self._current: dict[str, _Channel] = {}
        self._left: list[_Channel] = []
        self._closed = False

    def to(self, target: str) -> _Channel:
        """The channel for the next call.

        Raises:
            StreamMisused: the client was closed.
        """
        if self._closed:
            raise StreamMisused("the client is closed; make a new one")
        if target not in self._current:
            self._current[target] = self._make(target)
        return self._current[target]

    def note(self, channel: _Channel, error: StatewiseError) -> None:
        """Leaves a channel whose server is stopping: behind its address may stand another one."""
        if not (isinstance(error, StreamEnded) and error.reason == _STOPPING):
            return
        for target, current in list(self._current.items()):
            if current is channel:
                # Other streams may still be on it.
                self._left.append(self._current.pop(target))

    def close(self) -> list[_Channel]:
        """Makes no channel any more; returns those that are to be closed."""
        self._closed = True
        return [*self._current.values(), *self._left]
