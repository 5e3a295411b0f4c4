"""Checkpoints: which states are written when, what a store that fails costs, who is fenced."""

import asyncio
import logging

import pytest
from fakes import OUTPUTS, DurableStore, alone, distinct, fake_model
from kept_server import BreakableStore, kept_server, state_after

from service.errors import Gone, Unavailable
from service.stores.memory import MemoryStore
from service.stores.store import Fate


async def test_a_round_stores_the_state_as_it_was_when_the_round_began():
    server = kept_server()
    inputs = distinct(5, 1)
    stream = await server.begun()
    await server.push(stream, inputs[:3])
    assert server.counted("statewise_states_waiting") == 1
    server.kept.keeper._checkpoint()
    await server.push(stream, inputs[3:])
    await server.kept.keeper.flush()

    assert await server.stored() == (3, 3, state_after(inputs[:3]))
    assert (stream.keeping.durable, stream.expected) == (3, 6)
    # What came behind the copy waits for the next round.
    assert server.counted("statewise_states_waiting") == 1
    await server.checkpoint()
    assert await server.stored() == (5, 5, state_after(inputs))
    assert server.counted("statewise_states_waiting") == 0
    assert server.counted("statewise_checkpoints_total") == 2


async def test_a_round_writes_nothing_of_streams_that_took_no_chunk():
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(1, 2))
    await server.checkpoint()
    await server.begun("silent")
    await server.checkpoint()
    assert server.store.sizes == [1]


async def test_a_busy_stream_is_copied_when_its_chunk_is_done_and_holds_up_no_other():
    server = kept_server()
    inputs, others = distinct(7, 3), distinct(2, 4)
    busy, idle = await server.begun(), await server.begun("fan")
    await server.push(busy, inputs[:1])
    await server.push(idle, others)
    task = await server.under_way(busy, inputs[1:])
    await server.checkpoint()
    assert (await server.store.read("pump")).sequence == 0
    assert await server.stored("fan") == (2, 2, state_after(others))

    await task
    # It was marked in that round: no other has to begin.
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 7, state_after(inputs))
    assert busy.keeping.durable == 2
    # The mark is gone with it.
    await server.push(busy, inputs[:1])
    await server.kept.keeper.flush()
    assert busy.keeping.durable == 2


async def test_a_stream_is_checkpointed_after_so_many_steps():
    server = kept_server(checkpoint_steps=4)
    inputs = distinct(9, 5)
    stream = await server.begun()
    for number, step in enumerate(inputs, start=1):
        await server.push(stream, step[None])
        await server.kept.keeper.flush()
        assert stream.keeping.durable == number // 4 * 4
    assert await server.stored() == (8, 8, state_after(inputs[:8]))


@pytest.mark.parametrize("settings", [{"checkpoint_ms": 3_600_000, "checkpoint_steps": 2}, {}])
async def test_rounds_run_by_themselves(settings):
    server = kept_server(**({"checkpoint_ms": 1} | settings))
    inputs = distinct(2, 6)
    rounds = asyncio.ensure_future(server.kept.keeper.run())
    stream = await server.begun()
    await server.push(stream, inputs)
    while stream.keeping.durable < 2:
        server.store.wrote.clear()
        await asyncio.wait_for(server.store.wrote.wait(), 30)
    assert await server.stored() == (2, 2, state_after(inputs))
    # Closed, and removed without waiting for a checkpoint.
    removed = asyncio.Event()
    remove = server.store.remove

    async def told(*removal):
        done = await remove(*removal)
        removed.set()
        return done

    server.store.remove = told
    server.kept.close(stream)
    await asyncio.wait_for(removed.wait(), 30)
    assert await server.store.read("pump") is None
    rounds.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rounds


async def test_many_states_are_written_in_writes_of_a_bounded_size():
    server = kept_server(model=fake_model(capacity=600))
    data = {f"pump-{number}": distinct(1, number) for number in range(600)}
    for name, inputs in data.items():
        await server.push(await server.begun(name), inputs)
    await server.checkpoint()
    assert server.store.sizes == [512, 88]
    for name, inputs in data.items():
        assert await server.stored(name) == (1, 1, state_after(inputs))


async def test_what_a_store_did_not_take_waits_and_is_written_later(caplog):
    caplog.set_level(logging.INFO, "service.durability.rounds")
    server = kept_server()
    inputs, others = distinct(4, 7), distinct(1, 8)
    stream, other = await server.begun(), await server.begun("fan")
    await server.push(stream, inputs[:2])
    await server.push(other, others)
    server.store.broken = True
    for _ in range(2):
        await server.checkpoint()
    assert (stream.keeping.durable, other.keeping.durable) == (0, 0)
    assert server.counted("statewise_states_waiting") == 2
    assert server.counted("statewise_store_failures_total", reason="STORE_UNAVAILABLE") == 2
    # Streams go on meanwhile, and the newest copy takes the place of the one that waits.
    answered = await server.push(stream, inputs[2:])
    assert answered.tobytes() == alone(inputs)[2:].tobytes()
    await server.checkpoint()

    server.store.broken = False
    await server.kept.keeper.flush()
    assert await server.stored() == (4, 4, state_after(inputs))
    assert await server.stored("fan") == (1, 1, state_after(others))
    assert (stream.keeping.durable, other.keeping.durable) == (4, 1)
    assert server.counted("statewise_states_waiting") == 0
    # Each said once, however many rounds failed.
    said = [one for one in caplog.records if one.name == "service.durability.rounds"]
    assert [record.getMessage().partition(":")[0] for record in said] == [
        "checkpoints wait",
        "the state store takes checkpoints again",
    ]


async def test_an_error_that_nobody_expected_costs_a_round_and_no_state(caplog):
    server = kept_server()
    inputs = distinct(2, 9)
    await server.push(await server.begun(), inputs)
    write, server.store.write = server.store.write, None
    await server.checkpoint()
    assert server.counted("statewise_store_failures_total", reason="UNEXPECTED") == 1
    assert "a round of checkpoints failed" in caplog.text
    server.store.write = write
    await server.kept.keeper.flush()
    assert await server.stored() == (2, 2, state_after(inputs))


async def test_a_stream_that_left_while_its_store_was_away_is_not_resumed_from_an_older_state():
    server = kept_server()
    inputs = distinct(6, 10)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    await server.checkpoint()
    await server.push(stream, inputs[2:4])
    server.store.broken = True
    server.kept.leave(stream)
    await server.kept.keeper.flush()
    with pytest.raises(Unavailable) as caught:
        await server.resumed(received=4)
    assert caught.value.reason == "STORE_UNAVAILABLE"

    server.store.broken = False
    again = await server.resumed(received=4)
    assert (again.expected, again.keeping.durable) == (5, 4)
    after = await server.push(again, inputs[4:])
    assert after.tobytes() == alone(inputs)[4:].tobytes()


async def test_a_stream_that_another_server_has_claimed_ends_here():
    store = BreakableStore()
    here, there = kept_server(store), kept_server(store)
    inputs, others = distinct(5, 11), distinct(2, 12)
    fenced, neighbour = await here.begun(), await here.begun("fan")
    told = []
    fenced.on_end = told.append
    await here.push(fenced, inputs[:2])
    await here.checkpoint()
    heir = await there.resumed(received=2)
    await there.push(heir, inputs[2:])
    await there.checkpoint()

    await here.push(fenced, distinct(9, 13))
    await here.push(neighbour, others)
    await here.checkpoint()
    assert [error.reason for error in told] == ["TAKEN_OVER"]
    assert here.streams.get("pump") is None
    assert here.model.arena.slots.taken == 1
    assert here.counted("statewise_evictions_total", reason="fenced") == 1
    with pytest.raises(Gone):
        await here.push(fenced, inputs)
    # Neither what the other has done nor what came in the same write is lost.
    assert await here.stored() == (5, 5, state_after(inputs))
    assert await here.stored("fan") == (2, 2, state_after(others))
    assert (fenced.keeping.durable, neighbour.keeping.durable) == (2, 2)
    # A fenced stream is not written again.
    writes = len(store.sizes)
    await here.checkpoint()
    assert len(store.sizes) == writes


@pytest.mark.parametrize("copied", [False, True])
async def test_a_stream_that_was_closed_is_removed_and_not_written_again(copied):
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(2, 14))
    await server.checkpoint()
    await server.push(stream, distinct(1, 15))
    if copied:
        server.kept.keeper._checkpoint()
    writes = len(server.store.sizes)
    server.kept.close(stream)
    await server.checkpoint()
    assert await server.store.read("pump") is None
    assert (await server.store.claim("pump", "")).fate is Fate.CLOSED
    assert len(server.store.sizes) == writes
    assert server.counted("statewise_states_waiting") == 0


async def test_a_removal_that_failed_is_tried_again_and_spares_a_stream_begun_since():
    server = kept_server()
    await server.push(stream := await server.begun(), distinct(2, 16))
    await server.checkpoint()
    server.store.broken = True
    server.kept.close(stream)
    await server.kept.keeper.flush()
    assert server.counted("statewise_states_waiting") == 1
    assert await server.store.read("pump") is not None
    # What is on its way out is neither resumed nor in the way.
    with pytest.raises(Unavailable):
        await server.begun()

    server.store.broken = False
    inputs = distinct(3, 17)
    anew = await server.begun()
    await server.push(anew, inputs)
    await server.checkpoint()
    assert await server.stored() == (3, 3, state_after(inputs))
    assert server.counted("statewise_states_waiting") == 0


async def test_what_is_closed_is_on_no_page_even_before_a_round():
    server = kept_server()
    for name in ("a", "b"):
        stream = await server.begun(name)
    server.kept.close(stream)
    assert [one.stream_id for one in await server.kept.keeper.page("", 10, None)] == ["a"]


async def test_a_store_that_does_not_outlive_the_process_is_written_as_a_stream_leaves():
    server = kept_server(MemoryStore(10**6))
    inputs = distinct(3, 18)
    stream = await server.begun()
    await server.push(stream, inputs)
    await server.checkpoint()
    assert (await server.store.read("pump")).sequence == 0
    assert server.counted("statewise_states_waiting") == 0
    server.kept.leave(stream)
    await server.kept.keeper.flush()
    assert await server.stored() == (3, 3, state_after(inputs))
    # Nobody is told that it was durable.
    assert (stream.keeping.stored, stream.keeping.durable) == (3, 0)


async def test_results_that_nobody_acknowledges_are_kept_up_to_a_bound():
    server = kept_server(DurableStore(10**6), max_unacknowledged_bytes=2 * 4 * OUTPUTS)
    inputs = distinct(5, 19)
    stream = await server.begun()
    await server.push(stream, inputs, acknowledged=0)
    assert [sequence for sequence, _ in stream.keeping.results] == [4, 5]
    server.kept.leave(stream)
    with pytest.raises(Gone) as caught:
        await server.resumed(received=2)
    assert caught.value.reason == "OUTPUTS_LOST"
    assert (await server.resumed(received=3)).expected == 6
