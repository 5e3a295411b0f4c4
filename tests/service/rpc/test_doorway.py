import asyncio
import contextlib
import heapq

import pytest

from service.rpc.doorway import _CROWD, _QUIET_SECONDS, _SHUT_SECONDS, Doorway


class Clock:
    """The loop's clock, moved by hand."""

    def __init__(self):
        self.now = 0.0
        self._later = []

    def time(self):
        return self.now

    def call_later(self, seconds, act):
        heapq.heappush(self._later, (self.now + seconds, id(act), act))

    def create_future(self):
        return asyncio.get_running_loop().create_future()

    def advance(self, seconds):
        end = self.now + seconds
        while self._later and self._later[0][0] <= end:
            self.now, _, act = heapq.heappop(self._later)
            act()
        self.now = end


@pytest.fixture
def clock():
    return Clock()


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
        states = []
        for _ in range(round(2 * _SHUT_SECONDS / _QUIET_SECONDS) - 2):
            clock.advance(_QUIET_SECONDS)
            calls.enter_context(doorway.call())
            states.append(doorway.shut)
        await wait
        shut = states.count(True)
        assert states == [True] * shut + [False] * (len(states) - shut)
        assert len(states) - shut >= shut - 2 > 10
        clock.advance(2 * _QUIET_SECONDS)
        calls.enter_context(doorway.call())
        assert doorway.shut


async def test_a_cancelled_wait_disturbs_nobody(doorway, clock):
    with crowd(doorway):
        gone, stays = (asyncio.create_task(doorway.wait()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        clock.advance(10 * _QUIET_SECONDS)
        await stays
