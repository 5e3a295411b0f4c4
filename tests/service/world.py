"""All that may happen to two servers and their callers, in any order."""

import asyncio
import contextlib
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import NamedTuple

from parties import NAMES, Caller, Server
from storage import Clock

from service.errors import Gone, NotFound, ServiceError
from service.stores.memory import MemoryStore

# Those that move streams on come more often than those that break things.
ACTIONS = (
    *["open"] * 4, *["push"] * 10, *["checkpoint"] * 2, *["cancel"] * 3, "leave", *["forget"] * 3,
    *["haunt"] * 8, "close", "export", "crash", "unload", "store", "expire",
)  # fmt: skip


class Asked(NamedTuple):
    """What a caller asked for, and of whom."""

    kind: str
    task: asyncio.Task[None]
    server: Server


class World:
    """All of them."""

    def __init__(self, executor: Executor | None) -> None:
        self.executor = executor
        self.clock = Clock()
        self.store = MemoryStore(10**8, clock=self.clock)
        self.servers = [Server(self.store, executor) for _ in range(2)]
        self.callers = [Caller(name) for name in NAMES]
        # What each caller asked for last, and of whom.
        self.under_way: dict[Caller, Asked] = {}
        self.background: list[asyncio.Task[None]] = []

    def check(self) -> None:
        for server in self.servers:
            server.check()

    def act(self, action: str, caller: Caller, server: Server, size: int) -> None:
        """One thing happens; a caller does one thing at a time."""
        asked = self.under_way.get(caller)
        if asked is not None and asked.task.done():
            if not asked.task.cancelled():
                asked.task.result()
            asked = None
        if action == "cancel" and asked is not None and asked.kind in ("open", "push"):
            asked.task.cancel()
            caller.leave()
        elif action in ("open", "push", "leave", "forget", "close", "export") and asked is None:
            self.ask(action, caller, server, size)
        elif action == "checkpoint":
            server.kept.keeper._checkpoint()
            self.later(server.kept.keeper.flush())
        elif action == "unload":
            self.later(server.unload())
        elif action == "crash":
            self.crash(server)
        elif action == "store":
            server.line.down = not server.line.down
        elif action == "expire":
            self.later(self.expire())
        elif action == "haunt" and caller.ghost is not None:
            self.later(caller.haunt(*caller.ghost, size))

    def ask(self, action: str, caller: Caller, server: Server, size: int) -> None:
        if action == "leave":
            caller.leave()
        elif action == "forget":
            # The call hangs: nobody tells its server that it is over.
            caller.forget()
        elif action == "push" and caller.stream is not None:
            self.start(action, caller, caller.server, caller.push(size))
        elif action == "open":
            # Perhaps where a call before still has it.
            server = self.told(caller) or server
            act = caller.close if caller.left_over else caller.open
            self.start(action, caller, server, act(server))
        elif action in ("close", "export"):
            self.start(action, caller, server, getattr(caller, action)(server))

    def told(self, caller: Caller) -> Server | None:
        """Who was told of a close and has not told the store: nobody else knows of it."""
        for server in self.servers:
            if caller.name in server.kept.keeper._removals:
                return server
        return None

    def start(
        self, kind: str, caller: Caller, server: Server, act: Coroutine[None, None, None]
    ) -> None:
        async def answered() -> None:
            try:
                await act
            except asyncio.CancelledError:
                pass
            except (Gone, NotFound) as error:
                caller.stream = None if kind in ("open", "push") else caller.stream
                caller.left_over = False
                if kind == "open" and error.reason == "STREAM_CLOSED":
                    # Of the life before, since its owner alone closes one, and then begins anew.
                    assert caller.closing or not caller.sizes, "closed by nobody"
                    caller.begin()
                elif kind == "close" and isinstance(error, Gone):
                    # What was live was a copy of a stream that had ended elsewhere.
                    caller.begin()
            except ServiceError as error:
                caller.stream = None if kind in ("open", "push") else caller.stream
                # Of the life before: it was closed at another server.
                caller.left_over |= error.reason in ("STREAM_KEPT", "STREAM_EXISTS")

        task = asyncio.ensure_future(answered())
        # One that is cancelled before it begins never awaits it.
        task.add_done_callback(lambda done: act.close())
        self.under_way[caller] = Asked(kind, task, server)

    def later(self, act: Coroutine[None, None, None]) -> None:
        async def suffered() -> None:
            with contextlib.suppress(ServiceError):
                await act

        self.background.append(asyncio.ensure_future(suffered()))

    async def hang_up(self) -> None:
        """Calls that hang end in the end."""
        mine = {caller.stream for caller in self.callers}
        for server in self.servers:
            for stream in server.streams:
                if stream not in mine:
                    server.kept.leave(stream)
        await self.flush()

    async def flush(self) -> None:
        for server in self.servers:
            await server.kept.keeper.flush()

    async def expire(self) -> None:
        # Calls hang, and lines are cut, for less long than a closed stream is remembered.
        await self.hang_up()
        if any(server.line.down or server.kept.keeper.waiting for server in self.servers):
            return
        self.clock.pass_seconds(1)
        for one in self.servers:
            await one.sweep(self.clock)

    def crash(self, server: Server) -> None:
        """The process is gone, and a new one in its place."""
        server.crashed = server.line.down = True
        for asked in self.under_way.values():
            if asked.server is server:
                asked.task.cancel()
        for caller in self.callers:
            if caller.server is server:
                caller.stream = None
            # The store was never told that it was closed.
            caller.left_over |= caller.name in server.kept.keeper._removals
        self.servers[self.servers.index(server)] = Server(self.store, self.executor)

    async def finish(self) -> None:
        """All is well again: everybody gets what is missing, and leaves nothing behind."""
        for server in self.servers:
            server.line.down = False
        await self.settle()
        await self.hang_up()
        for caller in self.callers:
            for turn in range(200):
                if caller.done and caller.stream is not None:
                    break
                kind = "open" if caller.stream is None else "push"
                self.ask(kind, caller, self.servers[turn % 2], 7)
                await self.settle()
                await self.flush()
            assert caller.done, "never got its results"
            self.ask("close", caller, caller.server, 0)
            await self.settle()
            assert not caller.sizes, "not closed"
        await self.empty()

    async def empty(self) -> None:
        for server in self.servers:
            for stream in server.streams:
                server.kept.leave(stream)
        await self.flush()
        for server in self.servers:
            assert (server.streams.live, server.model.arena.slots.taken) == (0, 0), "a leak"
            assert not server.kept.keeper._held and not server.kept.keeper.waiting
        assert await self.store.page("", 10, None) == [], "kept by nobody's wish"

    async def settle(self) -> None:
        """Everybody is answered."""
        tasks = [asked.task for asked in self.under_way.values()] + self.background
        done, waiting = await asyncio.wait(tasks, timeout=20) if tasks else ((), ())
        assert not waiting, "nobody answered"
        for task in done:
            if not task.cancelled():
                task.result()
        self.background.clear()
        self.check()
