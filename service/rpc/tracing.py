"""A span around every call, within its caller's trace.

Owns which calls have one (all but health) and what gRPC tells of them. It stands before every
method only where traces are on. `opentelemetry-instrumentation-grpc` does not fit here: it takes
every stream for a generator, and ours read and write by their context.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from service import tracing
from service.rpc.handlers import Continuation, Handler, Wrapped, behaving, behaviour

_Context = grpc.aio.ServicerContext[Any, Any]
# What is wrong with this server rather than with what was asked.
_OURS = {
    code.value[0]
    for code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
}


class Tracer(grpc.aio.ServerInterceptor):
    """Stands before every method."""

    def __init__(self) -> None:
        """Has seen no method yet."""
        self._traced = Wrapped(_traced)

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The method's handler, traced; None for a method that isn't there."""
        return await self._traced.of(continuation, handler_call_details)


def _traced(method: str, handler: Any) -> Handler:
    behave = behaviour(handler)

    async def call(request: Any, context: _Context) -> Any:
        with _span(method, context):
            return await behave(request, context)

    async def generate(request: Any, context: _Context) -> AsyncIterator[Any]:
        with _span(method, context):
            async for answer in behave(request, context):
                yield answer

    return behaving(handler, generate if inspect.isasyncgenfunction(behave) else call)


@contextmanager
def _span(method: str, context: _Context) -> Iterator[None]:
    service, _, name = method[1:].rpartition("/")
    headers = {
        key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
    }
    told = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
    with tracing.served(method[1:], headers, told) as call:
        # What the context says is None until somebody sets it, or a number; its types know neither.
        code: Any = None
        try:
            yield
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            said: Any = context.code()
            code = said or code or grpc.StatusCode.OK
            number = code if isinstance(code, int) else code.value[0]
            call.set_attribute("rpc.grpc.status_code", number)
            if number in _OURS:
                tracing.failed(call, context.details() or "")
