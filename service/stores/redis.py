"""States in Redis: servers on several machines share them.

Owns the connection, its limits of time, and what its errors mean. Every call is a script, so that
fencing is decided where the data is; what waits goes together. Knows nothing of the keys.
"""

import asyncio
from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError

from service.errors import SettingsError, Unavailable
from service.stores import redis_scripts as scripts
from service.stores.gathering import Gathering
from service.stores.store import (
    LIVE_SECONDS,
    Claim,
    Clock,
    Fate,
    Held,
    Record,
    away,
    crowded,
    full,
    now_ms,
)

# A call of an open stream waits for no longer: a Redis that hangs must not hold it up.
CALL_SECONDS: Final = 1.5
_OLDEST_MAJOR: Final = 7
# Records of one script; Redis answers nobody else meanwhile.
_RECORDS: Final = 128


class RedisStore:
    """Records in Redis."""

    durable = True
    shared = True

    def __init__(
        self, url: str, max_bytes: int, live_seconds: float = LIVE_SECONDS, clock: Clock = now_ms
    ) -> None:
        """Looks whether Redis answers; connects when it is first asked.

        Args:
            url: redis://HOST:PORT/DB, unix:PATH for a socket, or rediss: with TLS, whose files
                are ?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE.
            max_bytes: of records and tombstones.
            live_seconds: for so long after it was written or touched nothing is evicted.
            clock: tells the time; servers that share a store need to agree within live_seconds.

        Raises:
            SettingsError: the URL is none of Redis, or nothing answers there.
        """
        self._place = _without_password(url)
        _look(url, self._place)
        # Its commands have no types of their own.
        self._client: Any = Redis.from_url(
            url,
            # One more try, since a connection that Redis closed shows only when it is used.
            retry=Retry(NoBackoff(), 1, supported_errors=(Disconnected,)),
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
        )
        self._max_bytes = max_bytes
        self._live_ms = max(int(live_seconds * 1e3), 1)
        self._clock = clock
        self._seen = 0
        self.evicted = 0
        self._begins: Gathering[Record, Claim] = Gathering(self._begin, lambda one: one.stream_id)
        self._claims: Gathering[tuple[str, str], Claim] = Gathering(self._claim, lambda one: one[0])

    async def begin(self, record: Record) -> Claim:
        """Keeps a new stream's first record."""
        return await self._begins.ask(record)

    async def claim(self, stream_id: str, owner: str) -> Claim:
        """Takes a new epoch of a stream that is kept."""
        return await self._claims.ask((stream_id, owner))

    async def write(self, records: Sequence[Record]) -> list[bool]:
        """Writes what is not fenced, in scripts of some records each, sent together."""
        parts = [_fields(records[i : i + _RECORDS]) for i in range(0, len(records), _RECORDS)]
        flags: list[bool] = []
        for *written, evicted in await self._call(scripts.WRITE, *parts):
            flags += map(bool, written)
            self.evicted += evicted
        # Behind the call: a write that raises may have put none of these epochs into Redis.
        self._seen = max([self._seen, *(record.epoch for record in records)])
        return flags

    async def touch(self, held: Sequence[tuple[str, int]]) -> None:
        """Puts off expiry."""
        parts = [held[i : i + _RECORDS] for i in range(0, len(held), _RECORDS)]
        await self._call(
            scripts.TOUCH, *([value for pair in part for value in pair] for part in parts)
        )

    async def read(self, stream_id: str) -> Record | None:
        """The newest record of a stream."""
        (found,) = await self._call(scripts.READ, [stream_id])
        return _record(stream_id, found) if found else None

    async def remove(self, stream_id: str, epoch: int, fate: Fate = Fate.CLOSED) -> bool:
        """Leaves a tombstone."""
        (removed,) = await self._call(scripts.REMOVE, [stream_id, epoch, fate.value])
        return bool(removed)

    async def page(self, after: str, limit: int, owner: str | None) -> list[Record]:
        """Records by id, without payloads."""
        records: list[Record] = []
        behind = b"(" + after.encode() if after else b"-"
        while len(records) < limit:
            asked = [behind, "all" if owner is None else "one", owner or ""]
            ((last, found),) = await self._call(scripts.PAGE, asked)
            records += [_record(stream_id.decode(), fields) for stream_id, fields in found]
            if not last:
                break
            behind = b"(" + last
        return records[:limit]

    async def expire(self, before_ms: int) -> int:
        """Turns old records into tombstones, and drops old tombstones, some at a time."""
        expired: int = 0
        while True:
            ((kept, gone),) = await self._call(scripts.EXPIRE, [before_ms])
            expired += int(kept)
            if not kept and not gone:
                return expired

    async def held(self) -> Held:
        """How much is kept."""
        ((states, size),) = await self._call(scripts.HELD, [])
        return Held(int(states), int(size))

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._client.aclose()

    async def _begin(self, records: Sequence[Record]) -> list[Claim]:
        ((*answers, evicted),) = await self._call(scripts.BEGIN, _fields(records))
        self.evicted += evicted
        ids = [record.stream_id for record in records]
        return [self._granted(*pair) for pair in zip(ids, answers, strict=True)]

    async def _claim(self, asked: Sequence[tuple[str, str]]) -> list[Claim]:
        flat = [value for pair in asked for value in pair]
        (answers,) = await self._call(scripts.CLAIM, flat)
        return [
            self._granted(stream_id, answer)
            for (stream_id, _), answer in zip(asked, answers, strict=True)
        ]

    def _granted(self, stream_id: str, answer: Sequence[Any]) -> Claim:
        epoch, fate, *found = answer
        self._seen = max(self._seen, epoch)
        record = _record(stream_id, found[0]) if found else None
        return Claim(epoch, Fate(fate.decode()), record)

    async def _call(self, script: str, *parts: Sequence[object]) -> list[Any]:
        """Runs a script once for each part, in one trip; its answers."""
        if not parts:
            return []
        now = self._clock()
        before = min(now - self._live_ms, now - 1)
        first = (scripts.BASE, now, self._max_bytes, before, self._seen)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._trip(script, [(1, *first, *part) for part in parts])
        except TimeoutError:
            raise away(self._place, f"no answer within {CALL_SECONDS:g} s") from None
        except (RedisError, OSError) as error:
            raise self._refusal(error) from error

    async def _trip(self, script: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        name = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return await self._send("EVALSHA", name, calls)
        except NoScriptError:
            # Redis is new, or has forgotten; nothing was done.
            return await self._send("EVAL", script, calls)

    async def _send(self, command: str, script: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        if len(calls) == 1:
            return [await self._client.execute_command(command, script, *calls[0])]
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(command, script, *call)
            return list(await pipeline.execute())

    def _refusal(self, error: Exception) -> Unavailable:
        if isinstance(error, ResponseError):
            if "STOREFULL" in str(error):
                return crowded(self._place, self._max_bytes, self._live_ms)
            # The driver takes its mark, OOM, off the text.
            if isinstance(error, OutOfMemoryError) or "OOM" in str(error):
                return full(self._place, "Redis has reached its maxmemory")
        return away(self._place, str(error) or type(error).__name__)


def _look(url: str, place: str) -> None:
    """Refuses a Redis that can't be used, at start."""
    try:
        with BlockingRedis.from_url(
            url, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS
        ) as client:
            version: str = client.execute_command("INFO", "server")["redis_version"]
    except ValueError:
        raise SettingsError(
            f"state_store {place} is no URL of Redis; take redis://HOST:PORT/DB"
        ) from None
    except TypeError as error:
        # It names the option last, and no value.
        name = str(error).rpartition(" ")[2]
        raise SettingsError(
            f"state_store {place} has the option {name} behind its ?, which is none; TLS takes "
            "ssl_ca_certs, ssl_certfile and ssl_keyfile"
        ) from None
    except (RedisError, OSError) as error:
        raise SettingsError(f"state_store {place} can't be used: {error}") from None
    if int(version.partition(".")[0]) < _OLDEST_MAJOR:
        raise SettingsError(f"state_store {place} is Redis {version}; it takes {_OLDEST_MAJOR}")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _fields(records: Sequence[Record]) -> list[object]:
    return [value for record in records for value in _values(record)]


def _values(record: Record) -> Iterator[object]:
    yield from (record.stream_id, record.epoch, record.owner, record.model, record.version)
    yield from (record.sequence, record.steps, record.payload)


def _record(stream_id: str, fields: Sequence[bytes | None]) -> Record:
    epoch, owner, model, version, sequence, steps, payload, stored = (one or b"" for one in fields)
    return Record(
        stream_id,
        int(epoch),
        owner.decode(),
        model.decode(),
        version.decode(),
        int(sequence),
        int(steps),
        payload,
        int(stored),
    )
