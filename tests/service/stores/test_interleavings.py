"""Each store against the plain one, over random interleavings of several servers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage import LIVE_SECONDS, Shelf, a_record

from service.errors import Unavailable
from service.stores.memory import MemoryStore
from service.stores.store import Store

SERVERS = 3
MOST_BYTES = 4_000
ids = st.sampled_from(["a", "b", "ä", "d e", "e"])
owners = st.sampled_from(["ada", "ada", "eve"])
sizes = st.integers(0, 900)
# Which of the epochs that were ever granted; an older one of the same stream is a zombie's.
grants = st.integers(0, 30)
held = st.lists(st.tuples(ids, grants, sizes), max_size=4, unique_by=lambda one: one[0])
calls = st.one_of(
    st.tuples(st.just("begin"), ids, owners, sizes),
    st.tuples(st.just("claim"), ids, owners),
    st.tuples(st.just("write"), held),
    st.tuples(st.just("write"), held),
    st.tuples(st.just("touch"), held),
    st.tuples(st.just("read"), ids),
    st.tuples(st.just("remove"), ids, grants),
    st.tuples(st.just("page"), ids, st.integers(1, 4), st.sampled_from([None, "ada", "eve"])),
    # Hypothesis offers no subnormal numbers where a session of ONNX Runtime has set flush-to-zero.
    st.tuples(st.just("expire"), st.floats(0, 3 * LIVE_SECONDS, allow_subnormal=False)),
)
steps = st.lists(
    st.tuples(st.integers(0, SERVERS - 1), st.floats(0.001, LIVE_SECONDS), calls), max_size=40
)
Call = tuple[Any, ...]


class Play:
    """One interleaving, played on a store; its numbers stand for what this store has granted."""

    def __init__(self) -> None:
        self.granted: dict[str, list[int]] = {}

    async def make(self, store: Store, call: Call, number: int, now: int) -> object:
        """What a call comes to."""
        try:
            return await self._method(call[0])(store, number, now, *call[1:])
        except Unavailable as error:
            return error.reason

    def _method(self, name: str) -> Callable[..., Awaitable[object]]:
        method: Callable[..., Awaitable[object]] = getattr(self, f"_{name}")
        return method

    def _epoch(self, stream_id: str, grant: int) -> int:
        granted = self.granted.get(stream_id, [])
        # Newest first; beyond what was granted one that a store must have lost.
        return granted[-1 - grant] if grant < len(granted) else grant + 1

    async def _begin(self, store, number, now, stream_id, owner, size) -> object:
        claim = await store.begin(a_record(stream_id, payload(number, size), owner=owner))
        self._grant(stream_id, claim.epoch)
        return claim

    async def _claim(self, store, number, now, stream_id, owner) -> object:
        claim = await store.claim(stream_id, owner)
        self._grant(stream_id, claim.epoch)
        return claim

    async def _write(self, store, number, now, held) -> object:
        return await store.write(
            [
                a_record(one, payload(number, size), self._epoch(one, grant), sequence=number)
                for one, grant, size in sorted(held)
            ]
        )

    async def _touch(self, store, number, now, held) -> object:
        await store.touch([(one, self._epoch(one, grant)) for one, grant, _ in sorted(held)])
        return None

    async def _read(self, store, number, now, stream_id) -> object:
        return await store.read(stream_id)

    async def _remove(self, store, number, now, stream_id, grant) -> object:
        return await store.remove(stream_id, self._epoch(stream_id, grant))

    async def _page(self, store, number, now, after, limit, owner) -> object:
        return await store.page(after, limit, owner)

    async def _expire(self, store, number, now, seconds) -> object:
        return await store.expire(now - int(seconds * 1e3))

    def _grant(self, stream_id: str, epoch: int) -> None:
        if epoch:
            granted = self.granted.setdefault(stream_id, [])
            assert epoch > max(map(max, filter(None, self.granted.values())), default=0)
            granted.append(epoch)


def payload(number: int, size: int) -> bytes:
    return bytes([number % 251]) * size


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_every_store_answers_as_the_plain_one(new_place, steps) -> None:
    asyncio.run(compare(Shelf(new_place()), steps))


async def compare(shelf: Shelf, steps: list[tuple[int, float, Call]]) -> None:
    plain = MemoryStore(MOST_BYTES, LIVE_SECONDS, shelf.clock)
    stores = [shelf.open(MOST_BYTES) for _ in range(SERVERS)]
    expected, found = Play(), Play()
    try:
        for number, (server, seconds, call) in enumerate(steps):
            shelf.clock.pass_seconds(seconds)
            now = shelf.clock.now
            assert await found.make(stores[server], call, number, now) == await expected.make(
                plain, call, number, now
            ), f"call {number}: {call}"
        assert await everything(stores[0]) == await everything(plain)
    finally:
        await shelf.close()


async def everything(store: Store) -> list[object]:
    return [await store.read(record.stream_id) for record in await store.page("", 99, None)]
