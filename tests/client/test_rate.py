"""What both clients make of a server that takes their steps no faster than so many a second."""

import asyncio
import time

import numpy as np
import pytest
from fake_model import FORBIDDEN, Kept, answer, answers, distinct, refused, too_fast
from simulated import OPENING, info
from statewise_client.errors import ChunkRefused, StatewiseError
from statewise_client.exchange import Exchange


class Rate:
    """Takes so many chunks, and one more when the client has slept as long as it is told."""

    def __init__(self, monkeypatch, burst: int, pause_ms: int = 5_000) -> None:
        self.left, self.pause_ms, self.slept = burst, pause_ms, []
        blocks, waits = time.sleep, asyncio.sleep

        def sleep(seconds):
            self._sleep(seconds)
            blocks(0)

        async def sleep_aio(seconds):
            self._sleep(seconds)
            await waits(0)

        monkeypatch.setattr("statewise_client.blocking_stream.time.sleep", sleep)
        monkeypatch.setattr("statewise_client.aio_stream.asyncio.sleep", sleep_aio)

    def _sleep(self, seconds) -> None:
        self.slept.append(seconds)
        if seconds * 1e3 >= self.pause_ms:
            self.left = 1

    def holds_up(self, sequence) -> int | None:
        if self.left:
            self.left -= 1
            return None
        return self.pause_ms


@pytest.fixture
def rate(monkeypatch):
    return lambda *given: Rate(monkeypatch, *given)


@pytest.mark.parametrize("in_flight", [1, 5])
async def test_a_rate_slows_a_run_down_and_costs_it_nothing(serve, connect, rate, in_flight):
    limit, steps = rate(3), distinct(12, seed=1)
    server = serve(holds_up=limit.holds_up)
    async with connect(server.target) as client, client.open("sum") as stream:
        chunks = np.split(steps, 12)
        outputs = [one async for one in stream.run(chunks, in_flight=in_flight)]
        assert (stream.reconnects, await stream.close()) == (0, 12)
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))
    # One pause for each chunk behind the first three.
    assert limit.slept == pytest.approx([5.001] * 9)


async def test_a_chunk_in_parts_goes_on_where_it_was_held_up(serve, connect, rate):
    limit, steps = rate(2), distinct(10, seed=2)
    server = serve(holds_up=limit.holds_up, max_chunk_steps=2)
    async with connect(server.target) as client, client.open("sum", ephemeral=True) as stream:
        np.testing.assert_array_equal(await stream.push(steps), answers(steps))
    assert len(limit.slept) == 3


@pytest.mark.parametrize(("patience", "pause_ms"), [(0, 1), (4.9, 5_000)])
async def test_a_longer_pause_than_the_caller_has_is_told(serve, connect, rate, patience, pause_ms):
    limit = rate(1, pause_ms)
    server = serve(holds_up=limit.holds_up)
    async with (
        connect(server.target, resume_timeout=patience) as client,
        client.open("sum") as stream,
    ):
        await stream.push([1, 2, 3])
        with pytest.raises(ChunkRefused) as refusal:
            await stream.push([4, 5, 6])
        assert (refusal.value.reason, refusal.value.sequence) == ("CALLER_RATE", 2)
        assert refusal.value.retry_after == pause_ms / 1e3
        limit.left = 1
        np.testing.assert_array_equal(await stream.push([4, 5, 6]), [5, 9])
    assert limit.slept == []


async def test_other_refusals_name_no_time(serve, connect):
    async with connect(serve().target) as client, client.open("sum") as stream:
        for bad in ([1, FORBIDDEN, 3], [1, float("nan"), 3]):
            with pytest.raises(ChunkRefused) as refusal:
                await stream.push(bad)
            assert refusal.value.retry_after is None


def test_a_later_mistake_is_told_when_its_turn_comes() -> None:
    exchange = Exchange(info(), OPENING, patience=60.0)
    first, second = (exchange.send(step)[0] for step in distinct(2, seed=3))
    assert exchange.receive(too_fast(first.chunk, 1, 3_000)) is None
    assert exchange.pause is None
    # The budget that the second would have spent is gone as well: the latest word counts.
    assert exchange.receive(too_fast(second.chunk, 1, 4_000)) is None
    assert exchange.pause == pytest.approx(4.001)
    assert exchange.again() == [first, second]
    assert exchange.pause is None
    assert exchange.receive(refused(first.chunk, "BAD", 1)) is None
    with pytest.raises(ChunkRefused, match="BAD"):
        exchange.receive(refused(second.chunk, "SEQUENCE_GAP", 1))
    assert exchange.in_flight == 0


def test_what_was_answered_once_is_waited_for_however_long() -> None:
    exchange, kept = Exchange(info(), OPENING, patience=1.0), Kept(np.zeros(3, np.float32))
    steps = distinct(3, seed=4)
    for step in steps[:2]:
        message = exchange.send(step)[0]
        exchange.receive(answer(kept, message.chunk, lambda sequence: sequence == 1))
    (second,) = exchange.reopened(info(2))
    third = exchange.send(steps[2])[0]
    assert exchange.receive(too_fast(second.chunk, 2, 3_000)) is None
    assert exchange.receive(refused(third.chunk, "SEQUENCE_GAP", 2)) is None
    assert exchange.pause == pytest.approx(3.001)
    assert exchange.again() == [second, third]
    kept = kept.lose()
    assert exchange.receive(answer(kept, second.chunk, lambda sequence: False)) is None
    outputs = exchange.receive(answer(kept, third.chunk, lambda sequence: False))
    np.testing.assert_array_equal(outputs, answers(steps)[2])


def test_what_is_in_flight_at_a_close_is_not_waited_for() -> None:
    exchange = Exchange(info(), OPENING, patience=60.0)
    message = exchange.send([1, 2, 3])[0]
    exchange.close(return_state=False)
    assert exchange.end(too_fast(message.chunk, 1, 3_000)) is None
    with pytest.raises(StatewiseError, match="where closed was due"):
        exchange.end(too_fast(message.chunk, 1, 3_000))
