"""Sequences go on with another server that shares the store, to the same numbers."""

import asyncio

import numpy as np
import pytest
from calling import Calls, arrays, load, row
from fakes import DurableStore
from foreign import accumulator

from service.callers.access import Identity
from service.callers.quotas import Limits, Quota
from service.durability.openings import Opening
from service.durability.operations import Operations
from service.errors import InvalidArgument, ServiceError
from service.stores.store import away, now_ms


@pytest.fixture
async def servers(tmp_path):
    """Two servers of one model that share a store."""
    path = accumulator(tmp_path / "acc")
    store = DurableStore(10**6)
    return Calls(load(path), store=store), Calls(load(path), store=store)


@pytest.mark.parametrize("sequence", [5, "5"])
async def test_a_sequence_goes_on_where_another_server_left_it(servers, sequence):
    old, new = servers
    await old.infer(sequence, start=True, x=row(1, 2, 3))
    under_way = old.infer(sequence, x=row(1, 1, 1))
    await old.sequences.hand_over()
    undisturbed = arrays(await under_way)["y"]
    assert old.streams.live == 0

    answer = arrays(await new.infer(sequence, x=row(0, 0, 0)))["y"]
    assert answer.tolist() == undisturbed.tolist()
    assert arrays(await new.infer(sequence, x=row(1, 0, 0), end=True))["y"][0, 0] == (
        undisturbed[0, 0] + 2
    )
    assert new.streams.live == 0


async def test_a_sequence_that_was_handed_over_stays_its_callers(servers):
    old, new = servers
    ada = Identity("ada", frozenset({"stream"}))
    await old.infer(5, start=True, x=row(1, 2, 3), caller=ada)
    assert [stream.owner for stream in old.streams] == ["ada"]
    await old.sequences.hand_over()
    await new.infer(5, x=row(0, 0, 0), caller=ada)
    assert [stream.owner for stream in new.streams] == ["ada"]


async def test_a_server_that_hands_over_takes_no_request(servers):
    old, _ = servers
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    assert (await old.infer(5, x=row(0, 0, 0))).reason == "SERVER_STOPPING"


async def test_a_sequence_is_taken_once(servers):
    old, new = servers
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    first, second = new.infer(5, end=True, x=row(0, 0, 0)), new.infer(5, x=row(0, 0, 0))
    assert not isinstance(await first, ServiceError)
    assert (await second).reason == "SEQUENCE_NOT_STARTED"
    assert (await new.infer(6, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"


async def test_a_sequence_that_was_silent_for_too_long_is_not_taken(tmp_path):
    path, store = accumulator(tmp_path / "acc"), DurableStore(10**6)
    old, new = Calls(load(path), store=store), Calls(load(path), store=store)
    new.sequences._limit = lambda model: -1.0
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    assert (await new.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"


async def test_an_id_that_was_used_here_before_is_found_when_another_server_gives_it(servers):
    old, new = servers
    for _ in range(2):
        await new.infer(5, start=True, end=True, x=row(7, 8, 9))
        await old.infer(5, start=True, x=row(1, 2, 3))
        await old.sequences.hand_over()
        old.sequences._leaving = False
        assert arrays(await new.infer(5, end=True, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]


async def test_what_was_given_before_an_id_was_begun_here_is_an_earlier_sequence(tmp_path):
    path, store = accumulator(tmp_path / "acc"), DurableStore(10**6, clock=lambda: now_ms() - 1000)
    old, new = Calls(load(path), store=store), Calls(load(path), store=store)
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    await new.infer(5, start=True, end=True, x=row(7, 8, 9))
    assert (await new.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"


async def test_requests_keep_their_order_while_a_sequence_is_looked_for(servers):
    old, new = servers
    await old.infer(5, start=True, x=row(0, 0, 0))
    base = arrays(await old.infer(5, x=row(0, 0, 0)))["y"][0, 0]
    await old.sequences.hand_over()
    answers = await asyncio.gather(*(new.infer(5, x=row(1, 0, 0)) for _ in range(4)))
    assert [arrays(one)["y"][0, 0] - base for one in answers] == [2, 4, 6, 8]


async def test_a_sequence_that_was_taken_is_idle_from_then_on(servers):
    old, new = servers
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    clock = new.clock()
    assert (await new.infer(5, x=row(np.nan, 0, 0))).reason == "NON_FINITE_INPUT"
    clock[0] += 59
    new.sequences.expire()
    assert arrays(await new.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]


async def test_a_sequence_over_its_caller_s_limit_stays_to_be_taken(servers):
    old, new = servers
    quota = Quota(Limits(1), lambda: 0.0)
    one = Identity("one", frozenset({"stream"}), quota)
    await old.infer(5, start=True, caller=Identity("one", one.permissions), x=row(1, 2, 3))
    await old.sequences.hand_over()
    await new.infer(6, start=True, caller=one, x=row(0, 0, 0))
    assert (await new.infer(5, caller=one, x=row(0, 0, 0))).reason == "CALLER_STREAMS"
    assert quota.streams == 1
    await new.infer(6, end=True, caller=one, x=row(0, 0, 0))
    assert (await new.infer(7, caller=one, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"
    assert quota.streams == 0
    assert arrays(await new.infer(5, caller=one, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]
    assert quota.streams == 1


async def test_an_unforeseen_failure_while_a_sequence_is_looked_for_is_told(servers, monkeypatch):
    old, new = servers
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    with monkeypatch.context() as broken:
        broken.setattr(new.sequences._handover, "take", lambda *_: 1 / 0)
        first, second = new.infer(5, x=row(0, 0, 0)), new.infer(5, x=row(0, 0, 0))
        assert (await first).reason == "INTERNAL"
        assert (await second).reason == "SEQUENCE_NOT_STARTED"
    assert arrays(await new.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]


class Removing(DurableStore):
    """Does what a test wants before it removes the next stream."""

    before = None

    async def remove(self, *removal):
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await super().remove(*removal)


@pytest.fixture
async def given(tmp_path):
    """A store with a sequence that was given to it, and two servers that may take it."""
    path, store = accumulator(tmp_path / "acc"), Removing(10**6)
    old, *others = (Calls(load(path), store=store) for _ in range(3))
    await old.infer(5, start=True, x=row(1, 2, 3))
    await old.sequences.hand_over()
    return store, *others


async def test_a_sequence_that_goes_on_here_goes_on_nowhere_else(given):
    _, here, there = given
    assert arrays(await here.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]
    assert (await there.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"


async def test_a_sequence_goes_on_nowhere_while_it_cannot_be_removed(given):
    store, here, there = given

    async def fails():
        raise away("a test's", "it is away")

    store.before = fails
    assert (await here.infer(5, x=row(0, 0, 0))).reason == "STORE_UNAVAILABLE"
    assert here.streams.live == 0
    assert arrays(await there.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 6, 9]]
    assert (await here.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"


async def test_of_two_servers_that_take_a_sequence_the_later_has_it(given):
    store, here, there = given
    later = []

    async def overtakes():
        later.append(await there.infer(5, x=row(0, 0, 0)))

    store.before = overtakes
    assert (await here.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_NOT_STARTED"
    assert here.streams.live == 0
    assert arrays(later[0])["y"].tolist() == [[3, 6, 9]]


async def test_no_caller_can_keep_a_stream_where_a_sequence_is_to_stand(servers):
    old, _ = servers
    kept = old.sequences._handover._kept
    state = (await Operations(old.models, old.streams, kept).export(await taken(kept), "")).state
    name = "sequence/bob/acc/int/5"
    for squats in (
        kept.open(Opening("acc", stream_id=name, owner="eve")),
        kept.open(Opening("acc", stream_id=name, owner="eve", ephemeral=True)),
        Operations(old.models, old.streams, kept).import_state(state, name, "eve"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await squats
        assert refused.value.reason == "STREAM_ID_RESERVED"
    assert await kept.keeper.read(name) is None


async def taken(kept):
    """The id of a stream of everybody's."""
    return (await kept.open(Opening("acc", stream_id="sequences are no prefix"))).stream.id
