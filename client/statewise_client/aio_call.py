"""Calls of grpc.aio: a stream's, and the questions that have one answer.

Owns the ways of grpc.aio that a stream should not have to know: messages go out by a queue, so that
a full network never keeps the stream from reading; and the status that a call is given first is its
status. Where a write fails behind it, grpc.aio puts INTERNAL in its place (grpc issue 36066), and
why the server ended the call would be lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, cast

import grpc

from statewise_client import status
from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage, ServerMessage
from statewise_client._generated.statewise.v1.stream_pb2_grpc import StreamServiceStub
from statewise_client.asking import Asking
from statewise_client.channel import OPTIONS, Channels
from statewise_client.errors import ProtocolError, StatewiseError
from statewise_client.opening import Opening
from statewise_client.protocol import StreamInfo, read_opened
from statewise_client.reconnect import mends
from statewise_client.settings import Settings

_T = TypeVar("_T")
# Quoted, since gRPC\'s classes take their types in stubs alone.
_Question: TypeAlias = "Callable[[grpc.aio.Channel], grpc.aio.UnaryUnaryMultiCallable[Any, _T]]"


class Line:
    """Calls to any of a client's servers."""

    def __init__(self, settings: Settings) -> None:
        """Begins without a connection: it belongs to the event loop that runs when one is made."""
        self.settings = settings
        self._channels = Channels(self._channel)
        # Whether any server has answered so far.
        self._met = False

    async def first(self, opening: Opening) -> tuple["Call", StreamInfo]:
        """Opens a stream on the first server that takes it.

        Raises:
            ConnectionFailed, StreamRefused, ProtocolError: none did; the last one's answer.
        """
        named, again = opening.named, False
        *others, last = self.settings.targets
        for target in others:
            try:
                return await self.open(target, named.message(again=again))
            except StatewiseError as error:
                if not mends(error):
                    raise
            # It may have been opened unseen, if only under an id that nobody else has.
            again = not opening.stream_id
        return await self.open(last, named.message(again=again))

    async def open(self, target: str, message: ClientMessage) -> tuple["Call", StreamInfo]:
        """Opens a stream.

        Raises:
            ConnectionFailed, StreamRefused, ProtocolError: it was not opened.
            StreamMisused: the client is closed.
        """
        channel, seconds = self._channels.to(target), self.settings.open_timeout
        call = Call(target, channel, self.settings)
        try:
            call.put(message)
            try:
                async with asyncio.timeout(seconds):
                    info = read_opened(await call.read())
                self._met = True
                return call, info
            except TimeoutError:
                raise status.unanswered(target, seconds) from None
            except grpc.RpcError as error:
                refusal = status.refusal(target, error)
                self._channels.note(channel, refusal)
                raise refusal from None
        except BaseException:
            call.cut()
            raise

    async def ask(self, question: "_Question[_T]", request: Any, *, reads: bool = False) -> _T:
        """Asks the first server that answers.

        Args:
            question: the method of a channel's stub.
            request: its message.
            reads: whether it changes nothing, so that it may be asked twice.

        Raises:
            ConnectionFailed: none answers.
            ConnectionBroken: one was there, and it may be done.
            StreamRefused: one refuses.
        """
        settings = self.settings
        asking = Asking(settings.targets, settings.resume_timeout, reads=reads, met=self._met)
        while True:
            try:
                answer = await self._ask(asking.target, question, request)
                self._met = True
                asking.answered()
                return answer
            except StatewiseError as error:
                pause = asking.after(error)
            await asyncio.sleep(pause)

    def left(self, call: "Call", error: StatewiseError) -> None:
        """Takes note of why a call broke."""
        self._channels.note(call.channel, error)

    async def close(self) -> None:
        """Ends every connection."""
        for channel in self._channels.close():
            await channel.close()

    async def _ask(self, target: str, question: "_Question[_T]", request: Any) -> _T:
        settings, channel = self.settings, self._channels.to(target)
        method = question(channel)
        try:
            return await method(request, timeout=settings.open_timeout, metadata=settings.metadata)
        except grpc.RpcError as error:
            failure = status.answer(target, error, settings.open_timeout)
            self._channels.note(channel, failure)
            raise failure from None

    def _channel(self, target: str) -> grpc.aio.Channel:
        if self.settings.credentials is None:
            return grpc.aio.insecure_channel(target, OPTIONS)
        return grpc.aio.secure_channel(target, self.settings.credentials, OPTIONS)


class Call:
    """A call of StreamService.Stream, from its start to its end.

    Attributes:
        target: the server that is called.
        channel: the way to it.
    """

    def __init__(self, target: str, channel: grpc.aio.Channel, settings: Settings) -> None:
        """Starts the call."""
        self.target = target
        self.channel = channel
        self._outbox: asyncio.Queue[ClientMessage | None] = asyncio.Queue()
        method = StreamServiceStub(channel).Stream
        self._call: grpc.aio.StreamStreamCall[Any, Any] = method(
            self._messages(), metadata=settings.metadata
        )
        self._error: grpc.aio.AioRpcError | None = None
        self._call.add_done_callback(self._remember)

    def put(self, message: ClientMessage) -> None:
        """Sends a message as soon as the network takes it."""
        self._outbox.put_nowait(message)

    def half_close(self) -> None:
        """Tells the server, behind what was put, that no more will come."""
        self._outbox.put_nowait(None)

    def cut(self) -> None:
        """Ends the call now, if it has not ended; the server keeps the stream."""
        # In this order: a half-closed call would be a stream that was closed.
        self._call.cancel()
        self.half_close()

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
