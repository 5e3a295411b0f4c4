"""Closed streams on their way out of a store that may fail, one removal a stream."""

import asyncio

import pytest
from kept_server import BreakableStore
from storage import a_record

from service.durability.removals import Removal, Removals
from service.errors import Unavailable
from service.stores.store import Fate


async def begun(store, name):
    return (await store.begin(a_record(name))).epoch


async def test_all_that_was_closed_is_removed_as_what_it_became():
    store = BreakableStore()
    removals = Removals(store)
    fates = {"pump": Fate.CLOSED, "fan": Fate.EXPIRED, "belt": Fate.UNKNOWN}
    for name, fate in fates.items():
        removals.add(Removal(name, await begun(store, name), fate))
    await removals.settle_all()
    assert len(removals) == 0
    assert {name: (await store.claim(name, "ada")).fate for name in fates} == fates


async def test_what_the_store_did_not_hear_of_waits():
    store = BreakableStore()
    removals = Removals(store)
    removal = removals.add(Removal("pump", await begun(store, "pump"), Fate.CLOSED))
    store.broken = True
    with pytest.raises(Unavailable):
        await removals.settle("pump")
    assert "pump" in removals
    assert not removal.overtaken
    store.broken = False
    await removals.settle("pump")
    assert "pump" not in removals
    assert await store.read("pump") is None


async def test_the_newest_claim_s_removal_takes_the_place_of_the_one_before():
    store = BreakableStore()
    removals = Removals(store)
    old = removals.add(Removal("pump", await begun(store, "pump"), Fate.CLOSED))
    new = removals.add(Removal("pump", (await store.claim("pump", "ada")).epoch, Fate.CLOSED))
    await removals.settle_all()
    assert await store.read("pump") is None
    assert (old.overtaken, new.overtaken) == (False, False)


async def test_a_removal_that_comes_while_the_one_before_is_on_its_way_is_not_dropped():
    store = BreakableStore()
    removals, remove = Removals(store), store.remove
    reached, opened = asyncio.Event(), asyncio.Event()

    async def held_up(*removal):
        reached.set()
        await opened.wait()
        return await remove(*removal)

    store.remove = held_up
    old = removals.add(Removal("pump", await begun(store, "pump"), Fate.CLOSED))
    settling = asyncio.ensure_future(removals.settle("pump"))
    await reached.wait()
    removals.add(Removal("pump", (await store.claim("pump", "ada")).epoch, Fate.CLOSED))
    opened.set()
    await settling
    # What stands in the store is newer than the one that was on its way.
    assert old.overtaken
    assert "pump" in removals
    await removals.settle("pump")
    assert await store.read("pump") is None
