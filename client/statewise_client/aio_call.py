"""One bidirectional call of grpc.aio.

Owns the ways of grpc.aio that a stream should not have to know: messages go out by a queue, so that
a full network never keeps the stream from reading; and the status that a call is given first is its
status. Where a write fails behind it, grpc.aio puts INTERNAL in its place (grpc issue 36066), and
why the server ended the call would be lost.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar, cast

import grpc

from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage, ServerMessage
from statewise_client.errors import ProtocolError

_T = TypeVar("_T")


class Call:
    """A call of StreamService.Stream, from its start to its end."""

    def __init__(self, method: grpc.aio.StreamStreamMultiCallable[Any, Any]) -> None:
        """Starts the call."""
        self._outbox: asyncio.Queue[ClientMessage | None] = asyncio.Queue()
        self._call: grpc.aio.StreamStreamCall[Any, Any] = method(self._messages())
        self._error: grpc.aio.AioRpcError | None = None
        self._call.add_done_callback(self._remember)

    def put(self, message: ClientMessage) -> None:
        """Sends a message as soon as the network takes it."""
        self._outbox.put_nowait(message)

    def half_close(self) -> None:
        """Tells the server, behind what was put, that no more will come."""
        self._outbox.put_nowait(None)

    def cut(self) -> None:
        """Ends the call now, if it has not ended."""
        self.half_close()
        self._call.cancel()

    async def read(self) -> ServerMessage:
        """Waits for the next message.

        Raises:
            grpc.RpcError: the call ended with a status that is not OK.
            ProtocolError: it ended with OK.
        """
        try:
            reply = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._error or error from None
        if reply is grpc.aio.EOF:
            raise ProtocolError("the server ended the call where an answer was due")
        return cast(ServerMessage, reply)

    async def _messages(self) -> AsyncIterator[ClientMessage]:
        while (message := await self._outbox.get()) is not None:
            yield message

    def _remember(self, call: Any) -> None:
        if self._error is None:
            self._error = grpc.aio.AioRpcError(
                _result(call.code()),
                trailing_metadata=_result(call.trailing_metadata()),
                details=_result(call.details()),
            )


def _result(ready: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine returns that has nothing to wait for, without a turn of the event loop."""
    try:
        ready.send(None)
    except StopIteration as stop:
        return cast(_T, stop.value)
    raise RuntimeError("a call that is done has no status")
