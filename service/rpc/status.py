"""From the service's errors to gRPC's status codes and rich details.

Owns the one mapping of codes. An error that nobody expected becomes INTERNAL without its inner
details, which go to the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration

from protos.statewise.v1.status_pb2 import ErrorInfo, RetryInfo, Status
from service.errors import Code, ServiceError, Unforeseen, UserError
from service.rpc.unreadable import readable

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
_log = logging.getLogger(__name__)
_UNTOLD = Unforeseen().message
DOMAIN = "statewise.v1"
_DETAILS_TRAILER = "grpc-status-details-bin"
# The call is over already, or is ended.
_OF_GRPC = (grpc.aio.AbortError, grpc.aio.UsageError)
_TYPE_PREFIX = "type.googleapis.com/google.rpc."
_CODES = {
    Code.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Code.MISSING: grpc.StatusCode.NOT_FOUND,
    Code.TAKEN: grpc.StatusCode.ALREADY_EXISTS,
    Code.STATE: grpc.StatusCode.FAILED_PRECONDITION,
    Code.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    Code.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Code.AWAY: grpc.StatusCode.UNAVAILABLE,
    Code.FAULT: grpc.StatusCode.DATA_LOSS,
    Code.BROKEN: grpc.StatusCode.INTERNAL,
    Code.USER: grpc.StatusCode.INTERNAL,
}


class ErrorsAsStatus:
    """Ends the call with the status of whatever error leaves the block.

    A class and no generator: the event loop keeps book of every asynchronous generator.
    """

    __slots__ = ("_context",)

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """For one call."""
        self._context = context

    async def __aenter__(self) -> None:
        """Nothing has gone wrong yet."""

    async def __aexit__(
        self, _kind: object, error: BaseException | None, _traceback: object
    ) -> None:
        """Raises gRPC's own error for ending a call, in place of any other."""
        if isinstance(error, UserError):
            # Of whoever runs the server; it names files that are no caller's affair.
            _log.error("a call failed: %s", error.message)
            await _abort(self._context, grpc.StatusCode.INTERNAL, _UNTOLD)
        elif isinstance(error, ServiceError):
            trailer = (_DETAILS_TRAILER, rich_status(error).SerializeToString())
            await _abort(self._context, _CODES[error.code], error.message, trailer)
        elif isinstance(error, Exception) and not isinstance(error, _OF_GRPC):
            _log.error("a call failed unexpectedly", exc_info=error)
            await _abort(self._context, grpc.StatusCode.INTERNAL, _UNTOLD)


def answered(
    method: Callable[[Servicer, Request], Awaitable[Response]],
) -> Callable[
    [Servicer, Request, grpc.aio.ServicerContext[Any, Any]], Coroutine[Any, Any, Response]
]:
    """A unary call from a method that takes its request and returns its answer, or raises."""

    @wraps(method)
    async def call(
        servicer: Servicer, request: Request, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Response:
        async with ErrorsAsStatus(context):
            return await method(servicer, readable(request))

    return call


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any],
    code: grpc.StatusCode,
    message: str,
    *trailers: tuple[str, bytes],
) -> None:
    """Ends the call, and leaves nothing of it.

    gRPC keeps the exception with the call, and its traceback keeps the call and the request: a ring
    that would stay in memory until garbage is looked for, which is rarely.
    """
    try:
        await context.abort(code, message, trailers)
    except grpc.aio.AbortError as error:
        # It has left all frames by then.
        asyncio.get_running_loop().call_soon(_forget, error)
        raise


def _forget(error: BaseException | None) -> None:
    """Cuts an error, and those that it came from, off the frames that they have left."""
    while error is not None:
        error.__traceback__, error.__context__, error = None, None, error.__context__


def rich_status(error: ServiceError) -> Status:
    """The error as google.rpc.Status with ErrorInfo, and RetryInfo where a retry makes sense."""
    status = Status(code=_CODES[error.code].value[0], message=error.message)
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add(type_url=f"{_TYPE_PREFIX}ErrorInfo", value=info.SerializeToString())
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        retry = RetryInfo(retry_delay=delay)
        status.details.add(type_url=f"{_TYPE_PREFIX}RetryInfo", value=retry.SerializeToString())
    return status
