"""A TCP proxy that the test cuts and heals, and that shares connections among several servers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

_BYTES = 65_536


class Proxy:
    """Leads every new connection to the next of its targets that takes it.

    Attributes:
        address: HOST:PORT where it listens.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self.address = ""
        self._targets = list(targets)
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._whole.clear()

    def heal(self) -> None:
        """What was held up comes through now."""
        self._whole.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            await self._whole.wait()
            to, back = await self._connect()
            try:
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pass(reader, back)),
                        asyncio.create_task(self._pass(to, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                back.transport.abort()
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._targets:
            # In turn, so that both have some.
            target = self._targets.pop(0)
            self._targets.append(target)
            with suppress(OSError):
                if target.startswith("/"):
                    return await asyncio.open_unix_connection(target)
                return await asyncio.open_connection(*target.split(":"))
        raise ConnectionRefusedError

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_BYTES):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def proxying(*targets: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(targets)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
