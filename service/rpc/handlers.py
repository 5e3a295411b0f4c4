"""Methods with something around them: what interceptors share.

Owns how a handler is taken apart and put together, once a method. Health is left alone: those who
ask for it (orchestrators, balancers) ask often and hold no tokens. Knows nothing of what is put
around.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health

# As a text: the class of the running package takes no types.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
_HEALTH = f"/{health.SERVICE_NAME}/"
_SIDES = ("unary", "stream")


class Wrapped:
    """The handlers of all methods, each wrapped when it is first called."""

    def __init__(self, wrap: Callable[[str, Any], Handler]) -> None:
        """Wraps by a method's name and its handler."""
        self._wrap = wrap
        self._made: dict[str, Handler] = {}

    async def of(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The method's handler, wrapped; None for a method that isn't there."""
        method = str(details.method)
        made = self._made.get(method)
        if made is not None:
            return made
        handler = await continuation(details)
        if handler is None or method.startswith(_HEALTH):
            return handler
        made = self._made[method] = self._wrap(method, handler)
        return made


def behaviour(handler: Any) -> Any:
    """What a handler does."""
    return getattr(handler, _kind(handler))


def behaving(handler: Any, behave: Any) -> Handler:
    """The same handler, that does something else."""
    make = getattr(grpc, f"{_kind(handler)}_rpc_method_handler")
    made: Handler = make(behave, handler.request_deserializer, handler.response_serializer)
    return made


def _kind(handler: Any) -> str:
    return f"{_SIDES[handler.request_streaming]}_{_SIDES[handler.response_streaming]}"
