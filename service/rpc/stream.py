"""The native wire: one bidirectional call is one stream.

Owns the conversion between messages and the seam, and the order of a conversation. A stream's next
chunk is read when the last one's result is written, so that gRPC's flow control is the
back-pressure, and a fast caller never grows this server's memory. A call that ends without Close
leaves its stream, which is kept for another.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceServicer
from service import tracing
from service.callers.access import Identity
from service.durability.kept import KeptStreams
from service.durability.openings import Opened
from service.errors import (
    Exhausted,
    InvalidArgument,
    ProtocolViolation,
    RateExceeded,
    ServiceError,
    stopping,
)
from service.rpc.access import caller
from service.rpc.doorway import Doorway
from service.rpc.pace import Pace
from service.rpc.status import ErrorsAsStatus
from service.rpc.stream_wire import (
    ResultMessage,
    again,
    chunk_of,
    opened_message,
    opening,
    refused,
)
from service.rpc.unreadable import readable
from service.streams.live import Stream as LiveStream
from service.streams.live import taken_over
from service.streams.seam import Streams

_Context = grpc.aio.ServicerContext[wire.ClientMessage, wire.ServerMessage]


class _Call:
    """A call under way; it may be interrupted only while it reads, never within a write."""

    __slots__ = ("_all", "reading", "reason", "task")

    def __init__(self, everyone: "set[_Call]") -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.reading = False
        self.reason: ServiceError | None = None
        self._all = everyone

    def __enter__(self) -> Self:
        self._all.add(self)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """A cancel by the caller stays a cancel; one by the server is its reason."""
        self._all.discard(self)
        if self.reason is not None and isinstance(error, asyncio.CancelledError):
            self.task.uncancel()
            raise self.reason from None

    def end(self, reason: ServiceError) -> None:
        """Ends it as soon as it is not within a write or a step."""
        if self.reason is None:
            self.reason = reason
            if self.reading:
                self.task.cancel()


class StreamServicer(StreamServiceServicer):
    """Serves statewise.v1.StreamService."""

    def __init__(self, streams: Streams, kept: KeptStreams, doorway: Doorway) -> None:
        """Serves the streams behind the seam, newcomers first where they crowd."""
        self._streams = streams
        self._kept = kept
        self._doorway = doorway
        self._pace = Pace(asyncio.get_running_loop())
        self._calls: set[_Call] = set()
        self._cutting = False

    async def Stream(  # type: ignore[override]  # noqa: N802 - the contract names it
        self, _requests: AsyncIterator[wire.ClientMessage], context: _Context
    ) -> None:
        """Opens a stream, converses, and closes it however the call ends."""
        async with ErrorsAsStatus(context):
            with _Call(self._calls) as call:
                if self._cutting:
                    call.end(stopping())
                await self._serve(context, call)

    async def cut(self, seconds: float) -> None:
        """Ends every open call with Unavailable, as soon as it is not within a write.

        A caller that does not read can hold up a write for ever; it is given `seconds`.
        """
        self._cutting = True
        tasks = [call.task for call in self._calls]
        for call in self._calls:
            call.end(stopping())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _serve(self, context: _Context, call: _Call) -> None:
        opened = await self._open(context, call)
        if opened is not None:
            with self._doorway.call():
                await self._attend(opened, context, call)

    async def _attend(self, opened: Opened, context: _Context, call: _Call) -> None:
        """A stream's whole conversation, and what becomes of the stream behind it."""
        stream = opened.stream
        tracing.annotate(
            stream_id=stream.id,
            model=stream.model.name,
            version=str(stream.model.version),
            resumed=opened.resumed,
        )
        closing: wire.Close | None = None
        try:
            stream.on_end = call.end
            await context.write(
                wire.ServerMessage(opened=opened_message(opened, durable=self._kept.durable))
            )
            for one in opened.results:
                await context.write(again(one, stream))
            closing = await self._converse(stream, context, call)
        finally:
            stream.on_end = None
            tracing.annotate(steps=stream.steps)
            if closing is None:
                self._kept.leave(stream)
        # Who only half-closes has left its stream, and is told how far it came all the same.
        state = await self._close(stream, closing) if closing is not None else b""
        await context.write(wire.ServerMessage(closed=wire.Closed(steps=stream.steps, state=state)))

    async def _close(self, stream: LiveStream, closing: wire.Close) -> bytes:
        """Ends a stream whose caller asks for it; returns its state where it asks for that too."""
        state, removal = b"", None
        try:
            if closing.return_state and stream.ended is None:
                state = self._kept.beginnings.blob_of(await self._kept.copy(stream))
        finally:
            if stream.ended is None:
                removal = self._kept.close(stream)
        if stream.ended is not None:
            # It is another call's, which has not asked for its end.
            raise stream.ended
        # A server that is killed behind its answer leaves nothing of a closed stream.
        if removal is not None and not await self._kept.keeper.removed(removal):
            raise taken_over(stream.id)
        return state

    async def _open(self, context: _Context, call: _Call) -> Opened | None:
        """The stream that the first message asks for; None where the caller sends nothing."""
        await self._pace.turn()
        request = await self._read(context, call)
        if request is grpc.aio.EOF:
            return None
        kind = request.WhichOneof("message")
        if kind != "open":
            raise ProtocolViolation(
                f"the first message is {kind or 'empty'}; send open before anything else",
                reason="OPEN_EXPECTED",
            )
        if request.open.initial_state:
            # An import by another door.
            caller().require("admin")
        try:
            return await self._kept.open(opening(request.open))
        except Exhausted:
            self._pace.refused()
            raise

    async def _converse(
        self, stream: LiveStream, context: _Context, call: _Call
    ) -> wire.Close | None:
        """Answers chunk by chunk until the caller closes; None where it only half-closes."""
        results, identity = ResultMessage(stream), caller()
        while True:
            if self._doorway.shut:
                await self._doorway.wait()
            request = await self._read(context, call)
            if request is grpc.aio.EOF:
                return None
            kind = request.WhichOneof("message")
            if kind == "chunk":
                answer = await self._answer(stream, request.chunk, results, identity)
                await context.write(answer)
            elif kind == "close":
                closing: wire.Close = request.close
                return closing
            else:
                raise ProtocolViolation(
                    f"a message is {kind or 'empty'} in an open stream; send chunk or close",
                    reason="CHUNK_EXPECTED",
                )

    async def _read(self, context: _Context, call: _Call) -> Any:
        """The next message, or EOF."""
        if call.reason is not None:
            raise call.reason
        call.reading = True
        request: Any = await context.read()
        call.reading = False
        return readable(request)

    async def _answer(
        self, stream: LiveStream, chunk: wire.Chunk, results: ResultMessage, identity: Identity
    ) -> wire.ServerMessage:
        stream.heard += 1
        received = chunk_of(chunk)
        try:
            identity.spend(min(received.steps, stream.model.max_chunk_steps))
            return results.of(received.sequence, await self._streams.push(stream, received))
        except RateExceeded as error:
            stream.model.metrics.refused(error.reason)
            return refused(stream, received.sequence, error)
        except InvalidArgument as error:
            return refused(stream, received.sequence, error)
