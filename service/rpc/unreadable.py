"""Requests whose bytes are no message, or too many: their callers' mistake, and told as one.

Owns the registration of services so that such requests reach the method, where they become a
status, and are counted. gRPC itself would answer UNKNOWN, with the inner words of an exception, and
would end a call for its size before anybody here knows of it; so it takes somewhat more.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import Exhausted, InvalidArgument, ServiceError

# What gRPC takes beyond the limit, so that it is told here: as much again. It has the whole message
# in memory by then.
_TIMES = 2
_MOST_OF_GRPC = 2**31 - 1


class _Unreadable:
    """Stands for a message that can't be taken, with what its caller is told."""

    def __init__(self, error: ServiceError) -> None:
        self.error = error


class Forgiving:
    """Stands before a server while generated code adds a service to it."""

    def __init__(
        self, server: grpc.aio.Server, most_bytes: int, refused: Callable[[str], None]
    ) -> None:
        """Adds to that server.

        Args:
            server: whose transport takes `transport_bytes(most_bytes)`.
            most_bytes: of a message.
            refused: counts a message that can't be taken, by reason.
        """
        self._server = server
        self._most_bytes = most_bytes
        self._refused = refused

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """The same handlers come by their names as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds a service's methods, which get what can't be read as such."""
        forgiving = {
            name: one._replace(request_deserializer=self._forgiving(one.request_deserializer))
            for name, one in handlers.items()
        }
        handler = grpc.method_handlers_generic_handler(service, forgiving)
        self._server.add_generic_rpc_handlers((handler,))

    def _forgiving(self, parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def read(data: bytes) -> Any:
            if len(data) > self._most_bytes:
                return self._unreadable(_too_large(len(data), self._most_bytes))
            try:
                return parse(data)
            except DecodeError:
                return self._unreadable(_no_message())

        return read

    def _unreadable(self, error: ServiceError) -> _Unreadable:
        self._refused(error.reason)
        return _Unreadable(error)


def readable(request: Any) -> Any:
    """A request that was read, or the end of them.

    Raises:
        InvalidArgument: its bytes are no message.
        Exhausted: it has too many.
    """
    if isinstance(request, _Unreadable):
        raise request.error
    return request


def transport_bytes(most_bytes: int) -> int:
    """What gRPC has to take so that messages above `most_bytes` are told from those within."""
    return min(_TIMES * most_bytes, _MOST_OF_GRPC)


def _no_message() -> InvalidArgument:
    return InvalidArgument(
        "the bytes are not this call's message; use the client, or the published .proto files",
        reason="MESSAGE",
    )


def _too_large(size: int, most: int) -> Exhausted:
    return Exhausted(
        f"a message has {size} bytes; take at most {most}, or raise --max-message-bytes",
        reason="MESSAGE_SIZE",
        max_message_bytes=most,
    )
