import asyncio
import contextlib

import pytest
from clocks import LoopClock

from service.rpc.doorway import _CROWD, _DRAIN_SECONDS, _QUIET_SECONDS, _SHUT_SECONDS, Doorway


@pytest.fixture
def clock():
    return LoopClock()


@pytest.fixture
def doorway(clock):
    return Doorway(clock)


def crowd(doorway, calls=_CROWD):
    stack = contextlib.ExitStack()
    for _ in range(calls):
        stack.enter_context(doorway.call())
    return stack


def test_few_streams_are_never_held_up(doorway):
    with crowd(doorway, _CROWD - 1):
        assert not doorway.shut


def test_those_that_ended_are_no_crowd(doorway, clock):
    crowd(doorway).close()
    clock.advance(1.0)
    with doorway.call():
        assert not doorway.shut


async def test_reads_go_on_when_no_call_has_opened_for_a_moment(doorway, clock):
    with crowd(doorway):
        waits = [asyncio.create_task(doorway.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        # These were seen by the first look, the newcomer by the second.
        clock.advance(_QUIET_SECONDS)
        with doorway.call():
            clock.advance(_QUIET_SECONDS)
            assert doorway.shut
            assert not any(wait.done() for wait in waits)
            clock.advance(_QUIET_SECONDS)
            assert not doorway.shut
            await asyncio.gather(*waits)


async def test_a_flood_of_opens_shuts_it_for_a_time_only_and_then_not_at_once_again(doorway, clock):
    with crowd(doorway) as calls:
        wait = asyncio.create_task(doorway.wait())
        await asyncio.sleep(0)
        states, pause = [], _QUIET_SECONDS / 2
        for _ in range(round(2.5 * _SHUT_SECONDS / pause)):
            clock.advance(pause)
            calls.enter_context(doorway.call())
            states.append(doorway.shut)
        await wait
        # Shut for its time, then open for as long as it was shut, then shut again.
        first = states.index(False)
        second = states.index(True, first)
        assert first == pytest.approx(_SHUT_SECONDS / pause, abs=5)
        assert second == pytest.approx(2 * first, abs=5)
        assert all(states[second:])


async def test_newcomers_have_their_time_only_once_the_open_streams_are_done(doorway, clock):
    with crowd(doorway) as calls:
        waits = []
        # Longer than newcomers alone would have it shut.
        for _ in range(round(2 * _SHUT_SECONDS / _QUIET_SECONDS)):
            waits.append(asyncio.create_task(doorway.wait()))
            await asyncio.sleep(0)
            clock.advance(_QUIET_SECONDS)
            assert doorway.shut
        calls.enter_context(doorway.call())
        clock.advance(_QUIET_SECONDS)
        assert doorway.shut
        clock.advance(2 * _QUIET_SECONDS)
        assert not doorway.shut
        await asyncio.gather(*waits)


async def test_streams_that_never_come_to_an_end_do_not_keep_it_shut(doorway, clock):
    with crowd(doorway):
        waits = []
        while doorway.shut:
            assert clock.time() < 2 * _DRAIN_SECONDS
            waits.append(asyncio.create_task(doorway.wait()))
            await asyncio.sleep(0)
            clock.advance(_QUIET_SECONDS)
        assert clock.time() == pytest.approx(_DRAIN_SECONDS, abs=0.01)
        await asyncio.gather(*waits)


async def test_a_cancelled_wait_disturbs_nobody(doorway, clock):
    with crowd(doorway):
        gone, stays = (asyncio.create_task(doorway.wait()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        clock.advance(10 * _QUIET_SECONDS)
        await stays
