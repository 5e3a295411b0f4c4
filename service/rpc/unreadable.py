"""Requests whose bytes are no message: their callers' mistake, and told as one.

Owns the registration of services so that such bytes reach the method, where they become a status.
gRPC itself would answer UNKNOWN, with the inner words of an exception.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import InvalidArgument


class _Unreadable:
    """Stands for a message whose bytes are no message."""


class Forgiving:
    """Stands before a server while generated code adds a service to it."""

    def __init__(self, server: grpc.aio.Server) -> None:
        """Adds to that server."""
        self._server = server

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """The same handlers come by their names as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds a service's methods, which get what can't be read as such."""
        forgiving = {
            name: one._replace(request_deserializer=_forgiving(one.request_deserializer))
            for name, one in handlers.items()
        }
        handler = grpc.method_handlers_generic_handler(service, forgiving)
        self._server.add_generic_rpc_handlers((handler,))


def readable(request: Any) -> Any:
    """A request that was read, or the end of them.

    Raises:
        InvalidArgument: its bytes are no message.
    """
    if isinstance(request, _Unreadable):
        raise InvalidArgument(
            "the bytes are not this call's message; use the client, or the published .proto files",
            reason="MESSAGE",
        )
    return request


def _forgiving(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _Unreadable()

    return read
