"""An open stream for programs with an event loop.

Owns the waiting, and that a broken call is followed by another. What is sent and what an answer
means is decided in `exchange`, where and when to try again in `reconnect`. `blocking_stream` is the
same without an event loop.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress

import grpc
from numpy.typing import ArrayLike

from statewise_client import status
from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage, ServerMessage
from statewise_client.aio_call import Call, Line
from statewise_client.arrays import Float32
from statewise_client.errors import ChunkRefused, ProtocolError, StatewiseError, StreamFailed
from statewise_client.exchange import Exchange
from statewise_client.protocol import Ended, StreamInfo
from statewise_client.reconnect import Recovery


class Stream:
    """An open stream. It serves one task at a time.

    Attributes:
        state: what `close(return_state=True)` brought; empty before.
        reconnects: how often its call broke and it went on in another.
    """

    def __init__(self, line: Line, call: Call, exchange: Exchange, recovery: Recovery) -> None:
        """Takes a call that is open; `Client.open` makes it."""
        self.state = b""
        self.reconnects = 0
        self._line = line
        self._call = call
        self._exchange = exchange
        self._recovery = recovery
        self._ended: Ended | None = None

    @property
    def info(self) -> StreamInfo:
        """What the server said of it."""
        return self._exchange.info

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

        A chunk of any length is taken. Where the call breaks, the wait goes on until the stream
        does, here or at another server. To cancel the wait ends the stream, for nobody knows then
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
        self._put(self._exchange.send(steps))

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
                await self._slow_down()
        except ChunkRefused:
            raise
        except BaseException:
            self.cut()
            raise
        return outputs

    async def close(self, *, return_state: bool = False) -> int:
        """Ends the stream; outputs in flight are dropped. Closing twice is closing.

        Args:
            return_state: whether `state` is to hold the last one afterwards.

        Returns:
            The steps that it took in its life.

        Raises:
            StreamFailed, ProtocolError: it ended otherwise.
            StreamMisused: it was over before, by an error.
        """
        if self._ended is None:
            self._put([self._exchange.close(return_state=return_state)])
            try:
                self._ended = await self._end()
            finally:
                self.cut()
            self.state = self._ended.state
        return self._ended.steps

    def cut(self) -> None:
        """Leaves the stream without closing it: the server keeps its state, to be resumed."""
        self._exchange.is_over = True
        self._call.cut()

    async def _slow_down(self) -> None:
        """Waits as long as the server asks for where chunks came too fast; sends them again."""
        pause = self._exchange.pause
        if pause is not None:
            await asyncio.sleep(pause)
            self._put(self._exchange.again())

    async def _end(self) -> Ended:
        try:
            while (ended := self._exchange.end(await self._read())) is None:
                pass
        except StreamFailed as failed:
            unseen = self._exchange.ended_unseen(failed)
            if unseen is None:
                raise
            return unseen
        # The status comes behind it; a call cut before would look broken to the server.
        with suppress(grpc.RpcError, ProtocolError):
            await self._call.read()
        return ended

    async def _read(self) -> ServerMessage:
        while True:
            try:
                return await self._call.read()
            except grpc.RpcError as error:
                broken = status.failure(self.info.stream_id, error)
            await self._recover(broken)
            self._exchange.settle()

    async def _recover(self, error: StatewiseError) -> None:
        """Goes on in another call."""
        exchange, recovery = self._exchange, self._recovery
        self._line.left(self._call, error)
        while True:
            self._call.cut()
            await asyncio.sleep(recovery.after(error, self.info.stream_id, exchange.received))
            try:
                self._call, info = await self._line.open(recovery.target, exchange.reopening())
                break
            except StatewiseError as again:
                error = again
        self.reconnects += 1
        recovery.went_on()
        self._put(exchange.reopened(info))

    def _put(self, messages: Iterable[ClientMessage]) -> None:
        for message in messages:
            self._call.put(message)
        if self._exchange.is_closing:
            self._call.half_close()


async def _each(
    chunks: Iterable[ArrayLike] | AsyncIterable[ArrayLike],
) -> AsyncIterator[ArrayLike]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
