"""The client for programs with an event loop.

Owns what a caller can ask of a server, and the beginning and end of its streams. `aio_stream` is an
open stream; `blocking` is the same without an event loop.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import grpc

from statewise_client._generated.statewise.v1 import state_pb2 as wire
from statewise_client._generated.statewise.v1.state_pb2_grpc import StateServiceStub
from statewise_client.aio_call import Line
from statewise_client.aio_stream import Stream
from statewise_client.channel import OPEN_SECONDS
from statewise_client.exchange import Exchange
from statewise_client.opening import Opening
from statewise_client.protocol import Ended
from statewise_client.reconnect import RESUME_SECONDS, Recovery
from statewise_client.replay import REPLAY_BYTES
from statewise_client.settings import Settings
from statewise_client.state import StreamSummary

__all__ = ["Client", "Stream"]


class Client:
    """A connection to a server, or several, shared by any number of streams.

    Use it as `async with Client("localhost:8500") as client:`; the end of the block ends the
    connection.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str = "",
        open_timeout: float = OPEN_SECONDS,
        resume_timeout: float = RESUME_SECONDS,
        replay_bytes: int = REPLAY_BYTES,
    ) -> None:
        """Names the servers; a connection is made when the first stream opens.

        Args:
            target: HOST:PORT, or several, in the order in which they are tried.
            credentials: for TLS; None for an open connection.
            token: sent with every call, to say who the caller is.
            open_timeout: seconds within which a stream has to be open, the connection included, at
                each server that is tried.
            resume_timeout: seconds without a new output after which a stream whose call broke is
                given up; 0 gives it up at once. Also the longest pause before a chunk is sent
                again for which a server asks, where chunks come faster than it takes them.
            replay_bytes: most bytes of each stream's chunks that are kept to be sent again. Beyond
                it the oldest are let go; where a server has stored less than that, the stream can't
                go on.

        Raises:
            InputError: a target names no port, or another argument is out of its range.
        """
        self._line = Line(
            Settings(target, credentials, token, open_timeout, resume_timeout, replay_bytes)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._line.close()

    @asynccontextmanager
    async def open(
        self,
        model: str,
        version: str = "",
        stream_id: str = "",
        *,
        resume: bool = False,
        received: int | None = None,
        initial_state: bytes = b"",
        ephemeral: bool = False,
        replace: bool = False,
    ) -> AsyncIterator[Stream]:
        """Opens a stream, and closes it at the end of the block.

        An error that leaves the block cuts the stream off instead: the server keeps its state for a
        `resume`.

        Args:
            model: its name.
            version: empty for the newest.
            stream_id: unique among the server's streams; empty for one that is made here.
            resume: goes on with the stream of that id, wherever its state stands:
                `info.expected_sequence` is the number of the next chunk.
            received: with `resume`: the highest number of a chunk whose outputs you have. The
                outputs behind it are in flight then, to be had from `receive`.
            initial_state: a state to begin with, as `export_state` gives it.
            ephemeral: the stream ends with its call; it is never stored and never resumed.
            replace: takes the place of a stream that is kept under the same id.

        Raises:
            ConnectionFailed: no server answers.
            StreamRefused: the server does not open the stream.
            ProtocolError: the server answers something else.
            InputError: arguments that exclude each other.
        """
        opening = Opening(
            model, version, stream_id, resume, received, initial_state, ephemeral, replace
        )
        call, info = await self._line.first(opening)
        settings = self._line.settings
        seconds = 0.0 if ephemeral else settings.resume_timeout
        exchange = Exchange(
            info,
            opening,
            replay_bytes=settings.replay_bytes if seconds else 0,
            patience=settings.resume_timeout,
        )
        recovery = Recovery(settings.targets, call.target, seconds)
        stream = Stream(self._line, call, exchange, recovery)
        try:
            yield stream
            if not stream.is_over:
                await stream.close()
        finally:
            stream.cut()

    async def export_state(self, stream_id: str) -> bytes:
        """The state of a stream that is live or kept; a live one goes on.

        Returns:
            A blob for `import_state`, or for the `initial_state` of an `open`.

        Raises:
            ConnectionFailed: no server answers.
            StreamRefused: the server does not know the stream.
        """
        request = wire.ExportRequest(stream_id=stream_id)
        return (
            await self._line.ask(lambda to: StateServiceStub(to).Export, request, reads=True)
        ).state

    async def import_state(
        self, state: bytes, stream_id: str = "", *, replace: bool = False
    ) -> StreamSummary:
        """Keeps a state under an id, for an `open` with `resume`.

        Args:
            state: as `export_state` gives it.
            stream_id: empty: the server makes one.
            replace: takes the place of a stream that is kept under the same id.

        Raises:
            ConnectionFailed: no server answers.
            ConnectionBroken: the call broke off: it may be done.
            StreamRefused: the server does not take the state.
        """
        request = wire.ImportRequest(stream_id=stream_id, state=state, replace=replace)
        reply = await self._line.ask(lambda to: StateServiceStub(to).Import, request)
        return StreamSummary.read(reply.stream)

    async def fork(self, stream_id: str, new_stream_id: str = "") -> StreamSummary:
        """Keeps the state of one stream under another id as well.

        Args:
            stream_id: of a stream that is live or kept.
            new_stream_id: empty: the server makes one.

        Raises:
            ConnectionFailed: no server answers.
            ConnectionBroken: the call broke off: it may be done.
            StreamRefused: the server does not know the stream, or the new id is in use.
        """
        request = wire.ForkRequest(stream_id=stream_id, new_stream_id=new_stream_id)
        reply = await self._line.ask(lambda to: StateServiceStub(to).Fork, request)
        return StreamSummary.read(reply.stream)

    async def close_stream(self, stream_id: str, *, return_state: bool = False) -> Ended:
        """Ends a stream that is live or kept; its caller is told.

        Args:
            stream_id: its id.
            return_state: whether its last state is returned.

        Raises:
            ConnectionFailed: no server answers.
            ConnectionBroken: the call broke off: it may be done.
            StreamRefused: the server does not know the stream.
        """
        request = wire.CloseStreamRequest(stream_id=stream_id, return_state=return_state)
        reply = await self._line.ask(lambda to: StateServiceStub(to).Close, request)
        return Ended(reply.steps, reply.state)

    async def list_streams(
        self, *, all_owners: bool = False, page_size: int = 0
    ) -> AsyncIterator[StreamSummary]:
        """The streams that are live or kept, by id, page by page.

        Args:
            all_owners: those of others as well, which takes a permission.
            page_size: most streams of a page; 0 leaves it to the server.

        Raises:
            ConnectionFailed: no server answers.
            StreamRefused: the server does not tell.
        """
        request = wire.ListRequest(all_owners=all_owners, page_size=page_size)
        while True:
            page = await self._line.ask(lambda to: StateServiceStub(to).List, request, reads=True)
            for told in page.streams:
                yield StreamSummary.read(told)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
