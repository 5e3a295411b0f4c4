"""The Redis store where Redis restarts, hangs, forgets, or can't be reached."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis_server import RedisServer
from storage import a_record

from service.errors import SettingsError, Unavailable
from service.stores.opening import open_store
from service.stores.redis import RedisStore
from service.stores.store import Fate

MOST_BYTES = 1024**3
StartRedis = Callable[..., RedisServer]


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    started = []

    def start(*options: str) -> RedisServer:
        started.append(RedisServer(tmp_path, *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


async def test_what_redis_has_logged_outlives_its_kill(start_redis: StartRedis) -> None:
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    store = RedisStore(server.url, MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    await store.write([a_record("s", b"\x00\xff state", epoch)])
    kept = await store.read("s")
    server.kill()

    with pytest.raises(Unavailable) as refused:
        await store.read("s")
    assert refused.value.reason == "STORE_UNAVAILABLE"
    assert refused.value.message == "the state store can't be used"
    assert str(refused.value).startswith(f"the state store can't be used: {server.url}")
    server.start()

    assert await store.claim("s", "ada") == replace(
        await store.claim("nobody", "ada"), epoch=epoch + 1, fate=Fate.KEPT, record=kept
    )
    await store.close()


async def test_a_redis_that_forgot_all_takes_streams_up_again(start_redis: StartRedis) -> None:
    server = start_redis()
    here, there = RedisStore(server.url, MOST_BYTES), RedisStore(server.url, MOST_BYTES)
    old = (await here.begin(a_record("s"))).epoch
    new = (await there.claim("s", "ada")).epoch
    server.kill()
    server.start()

    assert await there.write([a_record("s", b"state", new)]) == [True]

    assert await here.write([a_record("s", b"zombie", old)]) == [False]
    assert (await here.begin(a_record("other"))).epoch > new
    await here.close()
    await there.close()


async def test_epochs_of_a_server_grow_though_redis_forgot_them(start_redis: StartRedis) -> None:
    server = start_redis()
    store = RedisStore(server.url, MOST_BYTES)
    before = [(await store.begin(a_record(one))).epoch for one in "abc"]
    server.kill()
    server.start()

    after = (await store.begin(a_record("a"))).epoch
    assert after > max(before)
    # So they do where the newest that it knows of is one that it wrote.
    await store.write([a_record("b", b"state", after + 50)])
    server.kill()
    server.start()
    assert (await store.begin(a_record("c"))).epoch > after + 50
    await store.close()


async def test_a_redis_that_hangs_is_given_up_and_found_again(start_redis: StartRedis) -> None:
    server = start_redis()
    zombie, heir = RedisStore(server.url, MOST_BYTES), RedisStore(server.url, MOST_BYTES)
    old = (await zombie.begin(a_record("s"))).epoch
    server.send(signal.SIGSTOP)

    with pytest.raises(Unavailable) as refused:
        await zombie.write([a_record("s", b"cut off", old)])
    assert refused.value.reason == "STORE_UNAVAILABLE"
    server.send(signal.SIGCONT)

    new = (await heir.claim("s", "ada")).epoch
    assert await heir.write([a_record("s", b"newer", new)]) == [True]
    assert await zombie.write([a_record("s", b"healed", old)]) == [False]
    assert (await heir.read("s")).payload == b"newer"
    await zombie.close()
    await heir.close()


async def test_without_memory_streams_are_still_claimed(start_redis: StartRedis) -> None:
    server = start_redis()
    store = RedisStore(server.url, MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    server.ask("CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(Unavailable, match="maxmemory") as refused:
        await store.write([a_record("s", b"state", epoch)])
    assert refused.value.reason == "STORE_FULL"
    claim = await store.claim("s", "ada")
    assert claim.epoch > epoch
    assert await store.remove("s", claim.epoch)
    await store.close()


async def test_all_connections_cut_are_made_again(start_redis: StartRedis) -> None:
    server = start_redis()
    store = RedisStore(server.url, MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    server.ask("CLIENT", "KILL", "TYPE", "normal")

    assert await store.write([a_record("s", b"state", epoch)]) == [True]
    await store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://:hush@127.0.0.1:1/0", "can't be used"),
        ("redis://:hush@127.0.0.1:port/0", "is no URL of Redis"),
        ("rediss://ada:hush@127.0.0.1:1", "can't be used"),
        ("redsi://:hush@127.0.0.1:1", "take one of memory:"),
    ],
)
def test_a_redis_that_is_not_there_is_said_without_its_password(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        open_store(url, MOST_BYTES)

    assert says in refused.value.message
    assert "127.0.0.1" in refused.value.message or "redsi" in url
    assert "hush" not in refused.value.message
    assert "\n" not in refused.value.message


def test_an_older_redis_is_refused(start_redis: StartRedis, monkeypatch) -> None:
    answers = {"redis_version": "6.2.14"}
    monkeypatch.setattr(
        "service.stores.redis.BlockingRedis.execute_command", lambda self, *command: answers
    )
    with pytest.raises(SettingsError, match=r"is Redis 6\.2\.14; it takes 7"):
        RedisStore(start_redis().url, MOST_BYTES)


async def test_a_url_opens_redis(start_redis: StartRedis) -> None:
    store = open_store(start_redis().url, MOST_BYTES)

    assert isinstance(store, RedisStore)
    await store.close()
