"""What every store of states keeps to, wherever it keeps them."""

import asyncio
from dataclasses import replace

import pytest
from storage import Shelf, a_record

from service.stores.store import Claim, Fate

pytestmark = pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])


async def test_a_new_stream_is_kept_under_the_epoch_it_was_given(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    record = a_record("s", b"state", owner="eve", model="m", version="7", sequence=3, steps=9)

    claim = await here.begin(record)

    assert claim == Claim(claim.epoch, Fate.UNKNOWN)
    kept = replace(record, epoch=claim.epoch, stored_ms=shelf.clock.now)
    assert await here.read("s") == await there.read("s") == kept
    assert await there.read("other") is None


async def test_an_id_that_is_kept_is_not_begun_again(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    await here.begin(a_record("s", b"first"))
    kept = await here.read("s")

    assert await there.begin(a_record("s", b"second")) == Claim(0, Fate.KEPT, kept)
    assert await here.read("s") == kept


async def test_epochs_grow_over_all_streams_and_servers(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()

    epochs = [(await here.begin(a_record("a"))).epoch, (await there.begin(a_record("b"))).epoch]
    epochs += [(await here.claim("b", "ada")).epoch, (await there.claim("a", "ada")).epoch]

    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


async def test_what_is_written_or_removed_under_an_old_epoch_brings_none_back(shelf: Shelf) -> None:
    store = shelf.open()
    old, _, newest = [(await store.begin(a_record(one))).epoch for one in "abc"]

    assert await store.write([a_record("a", b"state", old)]) == [True]
    assert (await store.claim("b", "ada")).epoch > newest
    assert await store.remove("a", old)
    assert (await store.claim("c", "ada")).epoch > newest + 1


async def test_servers_that_claim_at_once_get_different_epochs(shelf: Shelf) -> None:
    stores = [shelf.open() for _ in range(3)]
    ids = [f"s{number:03}" for number in range(200)]
    begun = await asyncio.gather(*(stores[0].begin(a_record(one)) for one in ids))

    claimed = await asyncio.gather(*(s.claim(one, "ada") for one in ids for s in stores))

    epochs = [claim.epoch for claim in (*begun, *claimed)]
    assert len(set(epochs)) == len(ids) * 4
    assert max(claim.epoch for claim in begun) < min(claim.epoch for claim in claimed)


async def test_of_many_that_begin_one_id_one_does(shelf: Shelf) -> None:
    stores = [shelf.open() for _ in range(3)]

    claims = await asyncio.gather(*(store.begin(a_record("s")) for store in stores * 20))

    assert sorted(claim.epoch > 0 for claim in claims) == [False] * 59 + [True]


async def test_a_claim_brings_the_record_and_fences_the_one_before(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    old = await here.begin(a_record("s"))
    await here.write([a_record("s", b"one", old.epoch)])
    kept = await here.read("s")

    new = await there.claim("s", "ada")

    assert new == Claim(new.epoch, Fate.KEPT, kept)
    assert new.epoch > old.epoch
    assert await here.write([a_record("s", b"zombie", old.epoch)]) == [False]
    assert await there.write([a_record("s", b"two", new.epoch)]) == [True]
    kept = await here.read("s")
    assert kept is not None
    assert kept.payload == b"two"


async def test_a_stream_of_another_owner_is_not_claimed(shelf: Shelf) -> None:
    store = shelf.open()
    begun = await store.begin(a_record("s"))
    kept = await store.read("s")

    assert await store.claim("s", "eve") == Claim(0, Fate.KEPT, kept)
    assert await store.write([a_record("s", b"still hers", begun.epoch)]) == [True]


async def test_a_batch_is_fenced_record_by_record(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    begun = {one: (await here.begin(a_record(one))).epoch for one in "abc"}
    await there.claim("b", "ada")

    records = [a_record(one, one.encode() * 9, epoch) for one, epoch in begun.items()]

    assert await here.write(records) == [True, False, True]
    payloads = [record.payload for one in "abc" if (record := await there.read(one))]
    assert payloads == [b"a" * 9, b"", b"c" * 9]
    assert await here.write([]) == []


async def test_a_large_batch_is_written_whole(shelf: Shelf) -> None:
    store = shelf.open()
    records = [a_record(f"s{number}", b"%d" % number, number + 1) for number in range(1_000)]

    assert await store.write(records) == [True] * 1_000
    assert (await store.read("s777")) == replace(records[777], stored_ms=shelf.clock.now)


async def test_a_closed_stream_is_closed_for_its_zombies_too(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    old = (await here.begin(a_record("s"))).epoch
    new = (await there.claim("s", "ada")).epoch

    assert not await here.remove("s", old)
    assert await there.remove("s", new)

    assert await here.read("s") is None
    assert await here.claim("s", "ada") == Claim(0, Fate.CLOSED)
    assert await here.write([a_record("s", b"zombie", old)]) == [False]
    assert await there.write([a_record("s", b"late", new)]) == [False]
    assert not await here.remove("s", old)
    assert await here.read("s") is None
    # Its tombstone is no fence to whoever was given a newer epoch, by a store that is lost since.
    assert await here.write([a_record("s", b"newer", new + 1)]) == [True]


async def test_a_stream_begun_anew_is_safe_from_the_one_before(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    old = (await here.begin(a_record("s"))).epoch
    await there.remove("s", old)

    new = await there.begin(a_record("s", b"new"))

    assert new.fate is Fate.CLOSED
    assert new.epoch > old
    assert await here.write([a_record("s", b"zombie", old)]) == [False]
    assert not await here.remove("s", old)
    kept = await here.read("s")
    assert kept is not None
    assert kept.payload == b"new"


async def test_a_stream_that_never_was_leaves_a_tombstone_that_says_so(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()
    zombie = (await here.begin(a_record("s"))).epoch
    await there.remove("s", zombie)
    epoch = (await there.begin(a_record("s"))).epoch

    assert await there.remove("s", epoch, Fate.UNKNOWN)

    assert await here.read("s") is None
    assert await here.claim("s", "ada") == Claim(0, Fate.UNKNOWN)
    for late in (zombie, epoch):
        assert await here.write([a_record("s", b"late", late)]) == [False]
    anew = await here.begin(a_record("s"))
    assert (anew.fate, anew.epoch > epoch) == (Fate.UNKNOWN, True)


async def test_a_lost_stream_is_taken_up_and_closed_again(shelf: Shelf) -> None:
    here, there = shelf.open(), shelf.open()

    assert await here.write([a_record("lost", b"state", 41)]) == [True]
    assert (await there.claim("lost", "ada")).epoch == 42
    assert await there.remove("forgotten", 50)
    assert (await there.claim("lost", "ada")).epoch == 51
    assert await here.write([a_record("forgotten", b"zombie", 40)]) == [False]
    assert (await here.begin(a_record("forgotten"))).fate is Fate.CLOSED


async def test_pages_are_in_the_order_of_ids_and_of_one_owner(shelf: Shelf) -> None:
    store = shelf.open()
    ids = ["b", "a", "ä", "Z", "a\N{GRINNING FACE}", "a b", "a\uffff"]
    for number, one in enumerate(ids):
        await store.begin(a_record(one, b"state", owner="eve" if number % 2 else "ada"))
    await store.remove("b", 99)
    listed = [one for one in sorted(ids) if one != "b"]

    first = await store.page("", 4, None)
    rest = await store.page(first[-1].stream_id, 4, None)

    assert [one.stream_id for one in (*first, *rest)] == listed
    assert {one.payload for one in (*first, *rest)} == {b""}
    eves = [one.stream_id for one in await store.page("", 99, "eve")]
    assert eves == [one for one in listed if ids.index(one) % 2]
    assert await store.page("", 99, "nobody") == []
