"""A place for states of each kind."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from disks import small_disk
from redis_server import RedisServer
from storage import LIVE_SECONDS, Clock, OpenStore, Shelf

from service.stores.memory import MemoryStore
from service.stores.redis import RedisStore
from service.stores.sqlite import SqliteStore
from service.stores.store import Store

NewPlace = Callable[[], OpenStore]


@pytest.fixture
def new_place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> NewPlace:
    """Makes empty places of a kind; the test is parametrised by it."""
    made = 0

    def sqlite() -> OpenStore:
        nonlocal made
        made += 1
        path = tmp_path / f"{made}.db"
        return lambda most, clock: SqliteStore(path, most, LIVE_SECONDS, clock)

    def redis() -> OpenStore:
        server: RedisServer = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        return lambda most, clock: RedisStore(server.url, most, LIVE_SECONDS, clock)

    return {"memory": in_memory, "sqlite": sqlite, "redis": redis}[kind]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


def in_memory() -> OpenStore:
    """One store for all: the first that is opened."""
    one: list[Store] = []

    def open_one(most: int, clock: Clock) -> Store:
        if not one:
            one.append(MemoryStore(most, LIVE_SECONDS, clock))
        return one[0]

    return open_one


@pytest.fixture
async def shelf(new_place: NewPlace) -> AsyncIterator[Shelf]:
    shelf = Shelf(new_place())
    yield shelf
    await shelf.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can be filled."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder
