"""What a server does in the background goes on behind an error that nobody foresaw."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from calling import Calls, load
from fakes import alone, distinct, fake_model
from foreign import accumulator
from kept_server import kept_server, state_after

from service import catalogue
from service.background import turn
from service.durability.openings import Opening
from service.durability.silence import Silence
from service.inference import sequences
from service.settings import Settings


class Failing:
    """Fails the first time that it is called."""

    def __init__(self, act):
        self.act = act
        self.again = asyncio.Event()
        self.failed = False

    def __call__(self, *arguments):
        if not self.failed:
            self.failed = True
            raise RuntimeError("told to")
        self.again.set()
        return self.act(*arguments)


@asynccontextmanager
async def running(loop):
    task = asyncio.ensure_future(loop)
    yield task
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def seen_again(failing, task):
    """Returns once what failed was done again."""
    again = asyncio.ensure_future(failing.again.wait())
    async with asyncio.timeout(30):
        await asyncio.wait((again, task), return_when=asyncio.FIRST_COMPLETED)
    assert again.done(), "the loop has ended"


def never(*arguments):
    raise RuntimeError("told to")


async def test_checkpoints_go_on_behind_an_unforeseen_error_which_is_logged(caplog):
    server = kept_server(checkpoint_ms=1)
    inputs = distinct(2, 1)
    failing = server.model.arena.read = Failing(server.model.arena.read)
    stream = await server.begun()
    async with running(server.kept.keeper.run()) as task:
        await server.push(stream, inputs)
        await seen_again(failing, task)
        while stream.keeping.durable < 2:
            server.store.wrote.clear()
            await asyncio.wait_for(server.store.wrote.wait(), 30)
    assert await server.stored() == (2, 2, state_after(inputs))
    (told,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert "the next one follows" in told.getMessage()
    assert "told to" in told.exc_text


async def test_rounds_and_sweeps_go_on_where_they_fail_outside_of_their_own_care():
    server = kept_server(checkpoint_ms=1)
    keeper = server.kept.keeper
    async with running(keeper.run()) as task:
        for name, owner in (("_checkpoint", keeper), ("sweep", keeper._sweeper)):
            failing = Failing(getattr(owner, name))
            setattr(owner, name, failing)
            await seen_again(failing, task)


async def test_a_keeper_starts_where_its_store_can_not_be_measured():
    server = kept_server(checkpoint_ms=1)
    keeper = server.kept.keeper
    keeper._sweeper.measure = Failing(keeper._sweeper.measure)
    failing = keeper._checkpoint = Failing(keeper._checkpoint)
    async with running(keeper.run()) as task:
        await seen_again(failing, task)


async def test_a_checkpoint_that_fails_costs_neither_its_chunk_nor_other_models():
    server = kept_server(checkpoint_steps=1)
    other = fake_model(name="other")
    server.streams._models.add(other)
    inputs, others = distinct(1, 2), distinct(1, 4)
    stream = await server.begun()
    broken, server.model.arena.read = server.model.arena.read, never
    assert (await server.push(stream, inputs)).tobytes() == alone(inputs).tobytes()
    beside = (await server.kept.open(Opening("other", stream_id="beside"))).stream
    # Due at the next round only, behind the one that fails.
    beside.keeping.stored_steps = 1
    await server.push(beside, others)
    await server.checkpoint()
    assert await server.stored("beside") == (1, 1, state_after(others))
    server.model.arena.read = broken
    await server.checkpoint()
    assert await server.stored() == (1, 1, state_after(inputs))


async def test_a_stream_whose_state_can_not_be_copied_when_it_is_left_gives_its_slot_back():
    server = kept_server()
    inputs = distinct(3, 3)
    stream = await server.begun()
    await server.push(stream, inputs[:2])
    await server.checkpoint()
    await server.push(stream, inputs[2:])
    server.model.arena.read = Failing(server.model.arena.read)
    server.kept.leave(stream)
    await server.kept.keeper.flush()
    assert server.streams.live == server.model.arena.slots.taken == 0
    # What was checkpointed before is still there.
    again = await server.resumed(received=3, replay_from=3)
    assert (await server.push(again, inputs[2:])).tobytes() == alone(inputs)[2:].tobytes()


async def test_silence_is_looked_for_behind_an_unforeseen_error():
    server = kept_server()
    silence = Silence(server.streams, server.kept, 0.1)
    failing = silence.look = Failing(silence.look)
    async with running(silence.watch()) as task:
        await seen_again(failing, task)


async def test_idle_sequences_are_looked_for_behind_an_unforeseen_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "_SWEEP_SECONDS", 0.01)
    calls = Calls(load(accumulator(tmp_path / "acc")))
    failing = calls.sequences.expire = Failing(calls.sequences.expire)
    async with running(calls.sequences.sweep()) as task:
        await seen_again(failing, task)


async def test_the_repository_is_watched_behind_an_unforeseen_error(tmp_path):
    model = load(accumulator(tmp_path / "acc"))
    calls = Calls(model)
    settings = Settings(tmp_path, watch_seconds=0.01)
    watched = catalogue.Catalogue(calls.models, calls.streams, settings, load=lambda entry: model)
    failing = watched._scan = Failing(watched._scan)
    async with running(watched.watch()) as task:
        await seen_again(failing, task)


def test_files_that_go_while_they_are_looked_at_are_not_there(tmp_path, monkeypatch):
    path = accumulator(tmp_path / "acc")
    monkeypatch.setattr(type(path), "exists", lambda self: True)
    path.unlink()
    before = catalogue._look(path)
    (path.parent.parent / "config.pbtxt").unlink()
    assert catalogue._look(path) != before


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
def test_a_cancellation_leaves_a_turn(error):
    with pytest.raises(error), turn("a test"):
        raise error
