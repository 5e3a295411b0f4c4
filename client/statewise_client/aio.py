"""The client for programs with an event loop.

Owns the waiting, and what becomes of a stream when it fails. What is sent and what an answer means
is decided in `protocol` and `exchange`. `blocking` is the same without an event loop.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from types import TracebackType
from typing import Self

import grpc
from numpy.typing import ArrayLike

from statewise_client import protocol, status
from statewise_client._generated.statewise.v1.stream_pb2 import ServerMessage
from statewise_client._generated.statewise.v1.stream_pb2_grpc import StreamServiceStub
from statewise_client.aio_call import Call
from statewise_client.arrays import Float32
from statewise_client.channel import OPEN_SECONDS, OPTIONS, check_target
from statewise_client.errors import ChunkRefused, ProtocolError
from statewise_client.exchange import Exchange
from statewise_client.protocol import StreamInfo


class Client:
    """A connection to a server, shared by any number of streams.

    Use it as `async with Client("localhost:8500") as client:`; the end of the block ends the
    connection.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        open_timeout: float = OPEN_SECONDS,
    ) -> None:
        """Names the server; the connection is made when the first stream opens.

        Args:
            target: HOST:PORT.
            credentials: for TLS; None for an open connection.
            open_timeout: seconds within which a stream has to be open, the connection included.

        Raises:
            InputError: the target names no port.
        """
        self._target = check_target(target)
        self._credentials = credentials
        self._open_timeout = open_timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    @asynccontextmanager
    async def open(
        self, model: str, version: str = "", stream_id: str = ""
    ) -> AsyncIterator["Stream"]:
        """Opens a stream, and closes it at the end of the block.

        An error that leaves the block cuts the stream off instead.

        Args:
            model: its name.
            version: empty for the newest.
            stream_id: unique among the server's live streams; empty for one of its choice.

        Raises:
            ConnectionFailed: no server answers.
            StreamRefused: the server does not open the stream.
            ProtocolError: the server answers something else.
        """
        call = Call(StreamServiceStub(self._channel).Stream)
        try:
            call.put(protocol.opening(model, version, stream_id))
            stream = Stream(call, await self._opened(call))
            yield stream
            if not stream.is_over:
                await stream.close()
        finally:
            call.cut()

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Not made before a stream opens: it belongs to the event loop that runs then.
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, OPTIONS)
        return grpc.aio.secure_channel(self._target, self._credentials, OPTIONS)

    async def _opened(self, call: Call) -> StreamInfo:
        try:
            async with asyncio.timeout(self._open_timeout):
                reply = await call.read()
        except TimeoutError:
            raise status.unanswered(self._target, self._open_timeout) from None
        except grpc.RpcError as error:
            raise status.refusal(self._target, error) from None
        return protocol.read_opened(reply)


class Stream:
    """An open stream. It serves one task at a time.

    Attributes:
        info: what the server said of it.
    """

    def __init__(self, call: Call, info: StreamInfo) -> None:
        """Takes a call that is open; `Client.open` makes it."""
        self.info = info
        self._call = call
        self._exchange = Exchange(info)
        self._steps: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was closed, or ended by an error."""
        return self._exchange.is_over

    @property
    def in_flight(self) -> int:
        """Chunks that were sent and not received yet."""
        return self._exchange.in_flight

    async def push(self, steps: ArrayLike) -> Float32:
        """Sends a chunk and waits for its outputs.

        A chunk of any length is taken. To cancel the wait ends the stream, for nobody knows then
        which steps it took.

        Args:
            steps: one step, (features,), or several, (steps, features); finite numbers.

        Returns:
            (outputs,) or (steps, outputs), as `steps` is.

        Raises:
            ChunkRefused: the chunk was not taken; the stream goes on as it was.
            StreamFailed, ProtocolError: the stream is over.
            StreamMisused: it was over before, or chunks are in flight.
        """
        self._exchange.check_idle()
        self.send(steps)
        return await self.receive()

    async def run(
        self, chunks: Iterable[ArrayLike] | AsyncIterable[ArrayLike], *, in_flight: int = 8
    ) -> AsyncIterator[Float32]:
        """Sends chunk after chunk without waiting for each answer; yields the outputs in order.

        The outputs lag behind the chunks by up to `in_flight` - 1. After a refused chunk nothing
        that was sent behind it is taken. What is in flight when an error of `chunks` or a `break`
        ends the run is still to be had from `receive`.

        Args:
            chunks: each as in `push`.
            in_flight: most chunks that are sent and not answered; 1 sends and waits in turn.

        Raises:
            The same as `push`.
        """
        self._exchange.check_idle()
        refusal = None
        async for chunk in _each(chunks):
            try:
                self.send(chunk)
            except ChunkRefused as error:
                refusal = error
                break
            while self.in_flight >= in_flight:
                yield await self.receive()
        while self.in_flight:
            yield await self.receive()
        if refusal is not None:
            raise refusal

    def send(self, steps: ArrayLike) -> None:
        """Sends a chunk without waiting: the first half of `push`.

        How much is sent ahead is the caller's to bound.

        Raises:
            ChunkRefused: the chunk can't be what the model takes; nothing was sent.
            StreamMisused: the stream is over.
        """
        for message in self._exchange.send(steps):
            self._call.put(message)

    async def receive(self) -> Float32:
        """Waits for the outputs of the oldest chunk in flight: the second half of `push`.

        Raises:
            ChunkRefused: it was not taken, nor was what was sent behind it; nothing is in flight.
            StreamFailed, ProtocolError: the stream is over.
            StreamMisused: it was over before, or nothing is in flight.
        """
        self._exchange.check_due()
        try:
            while (outputs := self._exchange.receive(await self._read())) is None:
                pass
        except ChunkRefused:
            raise
        except BaseException:
            self._cut()
            raise
        return outputs

    async def close(self) -> int:
        """Ends the stream; outputs in flight are dropped. Closing twice is closing.

        Returns:
            The steps that it took in its life.

        Raises:
            StreamFailed, ProtocolError: it ended otherwise.
            StreamMisused: it was over before, by an error.
        """
        if self._steps is not None:
            return self._steps
        self._exchange.check_open()
        self._call.put(protocol.closing())
        self._call.half_close()
        try:
            while self.in_flight:
                with suppress(ChunkRefused):
                    await self.receive()
            self._steps = protocol.read_closed(await self._read())
            # The status comes behind it; a call cut before would look broken to the server.
            with suppress(grpc.RpcError, ProtocolError):
                await self._call.read()
        finally:
            self._cut()
        return self._steps

    async def _read(self) -> ServerMessage:
        try:
            return await self._call.read()
        except grpc.RpcError as error:
            raise status.failure(self.info.stream_id, error) from None

    def _cut(self) -> None:
        self._exchange.is_over = True
        self._call.cut()


async def _each(
    chunks: Iterable[ArrayLike] | AsyncIterable[ArrayLike],
) -> AsyncIterator[ArrayLike]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
