"""The two clients under one face, so that every test of the one is a test of the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statewise_client import aio, blocking

_END = object()


class Threaded:
    """`blocking.Client` with the face of `aio.Client`; it waits in threads."""

    def __init__(self, target, **settings) -> None:
        self._client = blocking.Client(target, **settings)

    async def __aenter__(self) -> "Threaded":
        self._client.__enter__()
        return self

    async def __aexit__(self, *error) -> None:
        await asyncio.to_thread(self._client.__exit__, *error)

    @asynccontextmanager
    async def open(self, *arguments, **named) -> AsyncIterator["ThreadedStream"]:
        block = self._client.open(*arguments, **named)
        stream = await asyncio.to_thread(block.__enter__)
        try:
            yield ThreadedStream(stream)
        except BaseException as error:
            if not await asyncio.to_thread(block.__exit__, type(error), error, None):
                raise
        else:
            await asyncio.to_thread(block.__exit__, None, None, None)

    async def list_streams(self, **settings):
        for summary in await asyncio.to_thread(list, self._client.list_streams(**settings)):
            yield summary

    def __getattr__(self, name: str):
        ask = getattr(self._client, name)
        return lambda *given, **named: asyncio.to_thread(ask, *given, **named)


class ThreadedStream:
    """`blocking.Stream` with the face of `aio.Stream`."""

    def __init__(self, stream: blocking.Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    async def push(self, steps):
        return await asyncio.to_thread(self._stream.push, steps)

    async def receive(self):
        return await asyncio.to_thread(self._stream.receive)

    async def close(self, **wishes) -> int:
        return await asyncio.to_thread(self._stream.close, **wishes)

    async def run(self, chunks, **settings):
        outputs = self._stream.run(chunks, **settings)
        while (one := await asyncio.to_thread(next, outputs, _END)) is not _END:
            yield one


SHELLS = {"aio": aio.Client, "blocking": Threaded}
