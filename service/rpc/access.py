"""Who calls: asked once a call, before any servicer sees it.

Owns how a token travels (`authorization: Bearer TOKEN`), and which method takes which permission.
A servicer asks `caller()`; messages of a call under way cost nothing. Health answers everybody,
since those who ask for it (orchestrators, balancers) hold no tokens; all else, reflection included,
takes an identity.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from service.callers.access import EVERYBODY, Access, Identity
from service.errors import ServiceError
from service.metrics import Metrics
from service.rpc.handlers import Continuation, Handler, Wrapped, behaving, behaviour
from service.rpc.status import ErrorsAsStatus

_Context = grpc.aio.ServicerContext[Any, Any]
_caller: ContextVar[Identity] = ContextVar("caller", default=EVERYBODY)
_INFERENCE = "/inference.GRPCInferenceService/"
_Count = Callable[[Identity], None]
# How calls that stay open are counted as their caller's, and no more.
_COUNTED: dict[str, tuple[_Count, _Count]] = {
    "/statewise.v1.StreamService/Stream": (Identity.enter, Identity.leave),
    _INFERENCE + "ModelStreamInfer": (Identity.enter_call, Identity.leave_call),
}
_ADMIN = ("admin",)
_ANY = ("stream", "admin")
# Any of these; where a method is not listed, "stream".
_NEEDED = {
    "/statewise.v1.StateService/Import": _ADMIN,
    "/statewise.v1.StateService/Export": _ANY,
    "/statewise.v1.StateService/Close": _ANY,
    "/statewise.v1.StateService/List": _ANY,
    _INFERENCE + "RepositoryModelLoad": _ADMIN,
    _INFERENCE + "RepositoryModelUnload": _ADMIN,
    _INFERENCE + "RepositoryIndex": _ANY,
    _INFERENCE + "ServerLive": _ANY,
    _INFERENCE + "ServerReady": _ANY,
    _INFERENCE + "ServerMetadata": _ANY,
    _INFERENCE + "ModelReady": _ANY,
    _INFERENCE + "ModelMetadata": _ANY,
    _INFERENCE + "ModelConfig": _ANY,
    _INFERENCE + "ModelStatistics": _ANY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY,
}


def caller() -> Identity:
    """Who made the call that this code runs for; everybody where nobody is asked."""
    return _caller.get()


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        """Asks `access`; counts whom it refuses."""
        self._access = access
        self._metrics = metrics
        self._guarded = Wrapped(self._guard)

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The method's handler, guarded; None for a method that isn't there."""
        return await self._guarded.of(continuation, handler_call_details)

    def _guard(self, method: str, handler: Any) -> Handler:
        behave, needed = behaviour(handler), _NEEDED.get(method, ("stream",))

        async def call(request: Any, context: _Context) -> Any:
            await self._admit(context, needed)
            return await behave(request, context)

        async def stream(request: Any, context: _Context) -> Any:
            enter, leave = _COUNTED[method]
            identity = await self._admit(context, needed, enter)
            try:
                return await behave(request, context)
            finally:
                leave(identity)

        async def generate(request: Any, context: _Context) -> AsyncIterator[Any]:
            await self._admit(context, needed)
            async for answer in behave(request, context):
                yield answer

        if inspect.isasyncgenfunction(behave):
            return behaving(handler, generate)
        return behaving(handler, stream if method in _COUNTED else call)

    async def _admit(
        self, context: _Context, needed: tuple[str, ...], enter: _Count | None = None
    ) -> Identity:
        """Each call has a task of its own, and so a caller of its own."""
        async with ErrorsAsStatus(context):
            try:
                identity = self._access.identify(_token(context), _certificate(context))
                identity.require(*needed)
                if enter is not None:
                    enter(identity)
            except ServiceError as error:
                self._metrics.refused_call(error.reason)
                raise
            _caller.set(identity)
            return identity


def _token(context: _Context) -> str | None:
    """The bearer token of a call; "" where there is a header that can't be one."""
    sent = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not sent:
        return None
    scheme, _, token = str(sent[0]).partition(" ")
    return token.strip() if len(sent) == 1 and scheme.lower() == "bearer" else ""


def _certificate(context: _Context) -> list[str]:
    """Names in the client's certificate, which was verified in the handshake."""
    verified = context.auth_context()
    names = [
        *verified.get("x509_common_name", ()),
        *verified.get("x509_subject_alternative_name", ()),
    ]
    return [name.decode(errors="replace") for name in names]
