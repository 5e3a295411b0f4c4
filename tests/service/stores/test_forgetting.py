"""What every store of states forgets: what nobody advances, and what it has no room for."""

import pytest
from storage import LIVE_SECONDS, Shelf, a_record

from service.errors import Unavailable
from service.stores.store import RECORD_BYTES, TOMBSTONE_BYTES, Fate, Held

pytestmark = pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])


async def test_what_is_silent_expires_unless_it_is_touched(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    epochs = {one: (await here.begin(a_record(one))).epoch for one in "abcd"}
    shelf.clock.pass_seconds(60)
    await there.claim("c", "ada")
    await here.touch([("b", epochs["b"]), ("d", epochs["d"] + 1), ("nobody", 1)])

    assert await there.expire(shelf.clock.now - 30_000) == 2

    fates = {one: (await here.claim(one, "ada")).fate for one in "abcde"}
    assert fates == {
        "a": Fate.EXPIRED,
        "b": Fate.KEPT,
        "c": Fate.KEPT,
        "d": Fate.EXPIRED,
        "e": Fate.UNKNOWN,
    }
    assert await here.write([a_record("a", b"late", epochs["a"])]) == [False]


async def test_a_tombstone_goes_in_its_time(shelf: Shelf) -> None:
    store = shelf.open()
    epoch = (await store.begin(a_record("s"))).epoch
    shelf.clock.pass_seconds(60)
    await store.remove("s", epoch)
    await store.touch([("s", epoch)])

    assert await store.expire(shelf.clock.now - 30_000) == 0
    assert (await store.claim("s", "ada")).fate is Fate.CLOSED
    shelf.clock.pass_seconds(60)
    await store.touch([("s", epoch)])
    assert await store.expire(shelf.clock.now - 30_000) == 0
    assert (await store.claim("s", "ada")).fate is Fate.UNKNOWN


async def test_thousands_expire_at_once(shelf: Shelf) -> None:
    store = shelf.open()
    await store.write([a_record(f"s{number}", b"x", 1) for number in range(2_500)])
    shelf.clock.pass_seconds(60)

    assert await store.expire(shelf.clock.now) == 2_500
    assert await store.page("", 10, None) == []


async def test_a_full_store_evicts_the_oldest_that_nobody_holds(shelf: Shelf) -> None:
    store = shelf.open(3 * (RECORD_BYTES + 100))
    epochs = [(await store.begin(a_record(one, b"x" * 100))).epoch for one in "abc"]
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)
    await store.touch([("a", epochs[0])])

    await store.begin(a_record("d", b"x" * (100 - TOMBSTONE_BYTES + 28)))

    fates = {one: (await store.claim(one, "ada")).fate for one in "abcd"}
    assert fates == {"a": Fate.KEPT, "b": Fate.EVICTED, "c": Fate.EVICTED, "d": Fate.KEPT}


async def test_the_oldest_goes_first_whatever_its_name(shelf: Shelf) -> None:
    store = shelf.open(3 * RECORD_BYTES)
    for one in "cab":
        await store.begin(a_record(one))
        shelf.clock.pass_seconds(1)
    shelf.clock.pass_seconds(LIVE_SECONDS)

    await store.write([a_record("d", b"", 9)])

    fates = {one: (await store.claim(one, "ada")).fate for one in "abcd"}
    assert fates == {"a": Fate.EVICTED, "b": Fate.KEPT, "c": Fate.EVICTED, "d": Fate.KEPT}


async def test_the_oldest_tombstone_goes_first_whatever_its_name(shelf: Shelf) -> None:
    store = shelf.open(RECORD_BYTES + 2 * TOMBSTONE_BYTES)
    for one in "cab":
        await store.remove(one, 1)
        shelf.clock.pass_seconds(1)
    shelf.clock.pass_seconds(LIVE_SECONDS)

    await store.write([a_record("d", b"", 9)])

    fates = {one: (await store.claim(one, "ada")).fate for one in "abcd"}
    closed = {"a": Fate.CLOSED, "b": Fate.CLOSED}
    assert fates == closed | {"c": Fate.UNKNOWN, "d": Fate.KEPT}


async def test_no_more_is_evicted_than_has_to_be_and_never_what_is_written(shelf: Shelf) -> None:
    store = shelf.open(3 * (RECORD_BYTES + 100))
    first, *_ = [(await store.begin(a_record(one, b"x" * 100))).epoch for one in "abc"]
    # Old enough, to the millisecond.
    shelf.clock.pass_seconds(LIVE_SECONDS)

    assert await store.write([a_record("a", b"y" * 300, first)]) == [True]

    fates = {one: (await store.claim(one, "ada")).fate for one in "abc"}
    assert fates == {"a": Fate.KEPT, "b": Fate.EVICTED, "c": Fate.KEPT}
    assert store.evicted == 1


async def test_what_is_as_old_as_the_limit_is_not_forgotten(shelf: Shelf) -> None:
    store = shelf.open()
    await store.begin(a_record("kept"))
    await store.remove("closed", 99)
    then = shelf.clock.now
    shelf.clock.pass_seconds(1)

    assert await store.expire(then) == 0
    assert await store.read("kept") is not None
    assert (await store.claim("closed", "ada")).fate is Fate.CLOSED
    assert await store.expire(then + 1) == 1
    assert [(await store.claim(one, "ada")).fate for one in ("kept", "closed")] == [
        Fate.EXPIRED,
        Fate.UNKNOWN,
    ]


async def test_thousands_of_tombstones_go_at_once(shelf: Shelf) -> None:
    store = shelf.open()
    for number in range(1_100):
        await store.remove(f"closed{number}", 1)

    assert await store.expire(shelf.clock.now + 1) == 0
    assert await store.held() == Held(0, 0)


async def test_an_evicted_stream_is_taken_up_by_who_had_it_last(shelf: Shelf) -> None:
    here, there = shelf.open(2 * RECORD_BYTES), shelf.open(2 * RECORD_BYTES)
    old = (await here.begin(a_record("s"))).epoch
    new = (await there.claim("s", "ada")).epoch
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)
    other = await here.begin(a_record("other", b"x" * 300))
    assert (await here.claim("s", "ada")).fate is Fate.EVICTED
    await here.remove("other", other.epoch)

    assert await here.write([a_record("s", b"zombie", old)]) == [False]
    assert await there.write([a_record("s", b"alive", new)]) == [True]


async def test_a_store_that_is_full_of_live_streams_says_so_and_keeps_them(shelf: Shelf) -> None:
    store = shelf.open(2 * RECORD_BYTES + 200)
    epochs = [(await store.begin(a_record(one, b"x" * 100))).epoch for one in "ab"]

    with pytest.raises(Unavailable, match="full") as begun:
        await store.begin(a_record("c"))
    with pytest.raises(Unavailable, match="full") as written:
        await store.write([a_record("a", b"ok", epochs[0]), a_record("b", b"x" * 300, epochs[1])])

    assert begun.value.reason == written.value.reason == "STORE_FULL"
    assert (await store.claim("c", "ada")).fate is Fate.UNKNOWN
    assert [one.stream_id for one in await store.page("", 9, None)] == ["a", "b"]
    assert {(await store.read(one)).payload for one in "ab"} == {b"x" * 100}
    assert await store.write([a_record("b", b"y" * 100, epochs[1])]) == [True]


async def test_tombstones_go_before_records(shelf: Shelf) -> None:
    store = shelf.open(RECORD_BYTES + 2 * TOMBSTONE_BYTES)
    await store.begin(a_record("kept"))
    for number in range(2):
        await store.remove(f"closed{number}", 1)
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)

    await store.write([a_record("kept", b"x" * TOMBSTONE_BYTES, 1)])

    fates = [(await store.claim(one, "ada")).fate for one in ("closed0", "closed1", "kept")]
    assert fates == [Fate.UNKNOWN, Fate.CLOSED, Fate.KEPT]


async def test_the_youngest_tombstones_outlast_records_that_nobody_holds(shelf: Shelf) -> None:
    # Two tombstones are an eighth of it; the last eviction's is one more, until the next write.
    store = shelf.open(4 * RECORD_BYTES)
    for number in range(12):
        await store.begin(a_record(f"s{number:02}"))
        shelf.clock.pass_seconds(LIVE_SECONDS + 1)

    fates = [(await store.claim(f"s{number:02}", "ada")).fate for number in range(12)]
    assert fates == [Fate.UNKNOWN] * 6 + [Fate.EVICTED] * 3 + [Fate.KEPT] * 3
    assert store.evicted == 9


async def test_the_youngest_tombstones_go_where_no_record_can(shelf: Shelf) -> None:
    store = shelf.open(2 * RECORD_BYTES)
    epoch = (await store.begin(a_record("held"))).epoch
    await store.remove("closed", 99)
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)
    await store.touch([("held", epoch)])
    assert (await store.claim("closed", "ada")).fate is Fate.CLOSED

    await store.begin(a_record("new"))

    fates = [(await store.claim(one, "ada")).fate for one in ("closed", "held", "new")]
    assert fates == [Fate.UNKNOWN, Fate.KEPT, Fate.KEPT]


async def test_spared_tombstones_are_counted_without_the_one_that_is_written(shelf: Shelf) -> None:
    # Two are spared; of the three, one is about to be a record again.
    store = shelf.open(4 * RECORD_BYTES)
    for number in range(3):
        await store.remove(f"closed{number}", 1)
    await store.begin(a_record("old"))
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)

    await store.begin(a_record("closed0", b"x" * (RECORD_BYTES + 2 * TOMBSTONE_BYTES + 1)))

    fates = [(await store.claim(one, "ada")).fate for one in ("closed0", "closed1", "old")]
    assert fates == [Fate.KEPT, Fate.CLOSED, Fate.EVICTED]


async def test_no_tombstone_makes_room_twice(shelf: Shelf) -> None:
    store = shelf.open(4 * RECORD_BYTES)
    for number in range(4):
        await store.remove(f"closed{number}", 1)
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)
    await store.begin(a_record("held"))

    await store.begin(a_record("new", b"x" * 2 * RECORD_BYTES))

    assert await store.held() == Held(2, 4 * RECORD_BYTES)


async def test_a_full_store_says_what_stays_in_it_and_what_to_do(shelf: Shelf) -> None:
    store = shelf.open(2 * RECORD_BYTES)
    for one in "ab":
        await store.begin(a_record(one))

    says = f"its {2 * RECORD_BYTES} bytes can't hold .* within 10 s, which stays; set a larger --s"
    with pytest.raises(Unavailable, match=says):
        await store.begin(a_record("c"))


async def test_a_store_tells_how_much_it_holds_and_whom_it_has_evicted(shelf: Shelf) -> None:
    store = shelf.open(2 * RECORD_BYTES + TOMBSTONE_BYTES + 64)
    assert await store.held() == Held(0, 0)
    await store.begin(a_record("first", b"x" * 40))
    await store.begin(a_record("closed", b"x" * 3))
    await store.remove("closed", 99)
    assert await store.held() == Held(1, RECORD_BYTES + 40 + TOMBSTONE_BYTES)
    shelf.clock.pass_seconds(LIVE_SECONDS + 1)

    await store.begin(a_record("second"))
    assert store.evicted == 0
    await store.write([a_record("second", b"x" * 64, 100)])
    await store.begin(a_record("third"))

    assert store.evicted == 1
    assert (await store.held()).states == 2
