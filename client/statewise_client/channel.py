"""The connection to a server: how it is named, and how it is kept alive.

Owns the options of channels, each with its reason. Both clients share them.
"""

from statewise_client.errors import InputError

# Seconds in which a stream has to be open: far above a round trip, and a connection that isn't
# made by then won't be.
OPEN_SECONDS = 10.0

OPTIONS: tuple[tuple[str, int], ...] = (
    # A stream may be silent for hours: the pings keep its way through proxies open, and a server
    # that vanished without a word is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that comes back is found within 5 s; the default waits up to 120.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # The server bounds its results by what it lets a chunk carry.
    ("grpc.max_receive_message_length", -1),
)


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
