"""One change of a stream at a time, done to its end."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from fakes import FakeEngine, alone, distinct, fake_model
from kept_server import kept_server, state_after

from service.durability import blob
from service.durability.turns import Turns
from service.errors import Gone, ModelFault, Unavailable


class Gate:
    """Holds up the first call of a store's method until it is opened."""

    def __init__(self, store, name):
        self._method, self._held = getattr(store, name), False
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        setattr(store, name, self)

    async def __call__(self, *arguments):
        if not self._held:
            self._held = True
            self.reached.set()
            await self.opened.wait()
        return await self._method(*arguments)


async def held_up(server, method, change):
    """A change that is under way, and the gate that it waits at."""
    gate = Gate(server.store, method)
    task = asyncio.ensure_future(change)
    await gate.reached.wait()
    return task, gate


async def busy(change):
    with pytest.raises(Unavailable) as caught:
        await change
    assert (caught.value.reason, caught.value.retry_after) == ("STREAM_BUSY", 0.1)


async def kept_state(server, inputs):
    """The state of a stream that is left behind as `fan`."""
    stream = await server.begun("fan")
    await server.push(stream, inputs)
    server.kept.leave(stream)
    return (await server.operations.export("fan", "")).state


async def test_what_is_being_closed_is_not_resumed():
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(2, 1))
    server.kept.leave(stream)
    await server.kept.keeper.flush()
    closing, gate = await held_up(server, "claim", server.operations.close("pump", ""))
    await busy(server.resumed())
    await busy(server.operations.close("pump", ""))
    gate.opened.set()
    assert await closing == (2, b"")
    with pytest.raises(Gone) as caught:
        await server.resumed()
    assert caught.value.reason == "STREAM_CLOSED"


async def test_what_is_being_opened_is_neither_imported_over_nor_closed():
    server = kept_server()
    state = await kept_state(server, distinct(3, 2))
    opening, gate = await held_up(server, "begin", server.begun())
    await busy(server.operations.import_state(state, "pump", "", replace=True))
    await busy(server.operations.fork("fan", "pump", ""))
    await busy(server.operations.close("pump", ""))
    # Another id is not in the way.
    await server.operations.import_state(state, "belt", "")
    gate.opened.set()
    stream, inputs = await opening, distinct(2, 3)
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()
    await server.checkpoint()
    assert await server.stored() == (2, 2, state_after(inputs))


async def test_what_is_being_imported_is_not_opened():
    server = kept_server()
    inputs = distinct(3, 4)
    state = await kept_state(server, inputs)
    importing, gate = await held_up(
        server, "begin", server.operations.import_state(state, "pump", "")
    )
    await busy(server.begun())
    gate.opened.set()
    assert (await importing).steps == 3
    assert (await server.resumed()).steps == 3


async def test_changes_of_streams_without_a_name_do_not_wait_for_each_other():
    server = kept_server()
    opening, gate = await held_up(server, "begin", server.begun(""))
    await server.begun("")
    gate.opened.set()
    assert len({(await opening).id, *(stream.id for stream in server.streams)}) == 2


async def test_a_close_that_nobody_waits_for_is_done_all_the_same():
    server = kept_server()
    server.kept.leave(await server.begun())
    closing, gate = await held_up(server, "claim", server.operations.close("pump", ""))
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    gate.opened.set()
    while server.kept.turns._busy:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0)
    with pytest.raises(Gone):
        await server.resumed()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_close_ends_what_was_kept_while_it_waited_for_a_chunk(fails):
    def compute(rows):
        assert may_end.wait(30)
        if failing:
            raise RuntimeError("told to")

    failing, may_end = False, threading.Event()
    may_end.set()
    server = kept_server(model=fake_model(FakeEngine(before_step=compute)))
    inputs = distinct(3, 5)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    await server.checkpoint()
    with ThreadPoolExecutor(1) as server.model.batcher._executor:
        failing = fails
        may_end.clear()
        under_way = await server.under_way(stream, inputs[2:])
        closing = asyncio.ensure_future(server.operations.close("pump", "", return_state=True))
        while not stream.on_idle:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0)
        # As where its model is unloaded meanwhile.
        stream.on_idle.append(lambda: server.kept._store_and_close(stream))
        may_end.set()
        with pytest.raises(ModelFault) if fails else nullcontext():
            await under_way
        steps, state = await closing
    taken = 2 if fails else 3
    assert steps == taken
    assert blob.decode(state).states[0].values.tolist() == state_after(inputs[:taken])
    assert await server.store.read("pump") is None
    assert server.streams.live == server.model.arena.slots.taken == 0


async def test_a_close_ends_what_was_kept_behind_its_last_look():
    server = kept_server()
    stream = await server.begun()
    await server.push(stream, distinct(2, 6))
    copy = server.kept.copy

    async def copied(stream):
        taken = await copy(stream)
        server.kept._store_and_close(stream)
        return taken

    server.kept.copy = copied
    assert await server.operations.close("pump", "") == (2, b"")
    assert await server.store.read("pump") is None


def complaints():
    """What the event loop is left with: errors that nobody asked for."""
    found = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: found.append(told))
    return found


async def until_done(turns):
    """Returns once no change is under way, and what follows from the last has followed."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert not turns._tasks


async def test_what_nobody_waits_for_any_more_is_handed_to_whoever_sees_to_it():
    turns, may_end, abandoned = Turns(), asyncio.Event(), []

    async def change():
        await may_end.wait()
        return "opened"

    waiting = asyncio.ensure_future(turns.take("pump", change, abandoned.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    await until_done(turns)
    assert abandoned == ["opened"]
    assert await turns.take("pump", change, abandoned.append) == "opened"
    assert abandoned == ["opened"]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_of_what_came_to_nothing_nobody_is_told_who_has_stopped_waiting(cancelled):
    turns, may_end, found = Turns(), asyncio.Event(), complaints()

    async def change():
        await may_end.wait()
        raise Unavailable("told to", reason="STORE_UNAVAILABLE")

    waiting = asyncio.ensure_future(turns.take("pump", change))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if cancelled:
        # As where the event loop ends.
        for task in turns._tasks:
            task.cancel()
    may_end.set()
    await until_done(turns)
    assert found == []


async def test_a_change_that_nobody_holds_is_not_lost_on_the_way():
    turns, ended, held = Turns(), [], []

    async def change():
        # As an answer that is awaited, which nobody has but who waits.
        answer = asyncio.get_running_loop().create_future()
        held.append(weakref.ref(answer))
        ended.append(await answer)

    waiting = asyncio.ensure_future(turns.take("pump", change))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    answer = held[0]()
    assert answer is not None
    answer.set_result("done")
    await until_done(turns)
    assert ended == ["done"]


async def test_an_open_that_nobody_waits_for_leaves_a_stream_to_resume():
    server = kept_server()
    opening, gate = await held_up(server, "begin", server.begun())
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    gate.opened.set()
    await until_done(server.kept.turns)
    assert server.streams.live == server.model.arena.slots.taken == 0
    stream, inputs = await server.resumed(received=0, replay_from=1), distinct(2, 7)
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()


async def test_an_open_that_its_server_s_end_comes_before_leaves_nothing_behind():
    server = kept_server()
    opening, gate = await held_up(server, "begin", server.begun())
    server.kept.leave_all()
    gate.opened.set()
    with pytest.raises(Unavailable) as caught:
        await opening
    assert caught.value.reason == "SERVER_STOPPING"
    assert server.streams.live == server.model.arena.slots.taken == 0
    await server.kept.keeper.flush()
    # It never was: another server begins with it.
    there = kept_server(server.store)
    assert (await there.resumed(received=0, replay_from=1)).expected == 1
