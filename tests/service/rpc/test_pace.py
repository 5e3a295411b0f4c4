import asyncio

import pytest
from clocks import LoopClock

from service.rpc.pace import (
    _APART_SECONDS,
    _FLOOD_SECONDS,
    _LONGEST_SECONDS,
    _TOGETHER,
    Pace,
)


@pytest.fixture
def clock():
    return LoopClock()


@pytest.fixture
def pace(clock):
    return Pace(clock)


async def newcomers(pace, number):
    """So many who came by now."""
    tasks = [asyncio.create_task(pace.turn()) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def let_in(clock, tasks, seconds, then=lambda: None):
    """When each had its turn, after so many seconds at most; `then` follows each."""
    at, begun = {}, clock.now
    while len(at) < len(tasks) and clock.now <= begun + seconds:
        # What was due at this time has happened by now.
        await asyncio.sleep(0)
        for task in tasks:
            if task.done() and task not in at:
                at[task] = clock.now - begun
                then()
        clock.advance(_APART_SECONDS / 16)
    return [at[task] for task in tasks]


async def test_nobody_waits_where_nobody_was_refused(pace, clock):
    assert await let_in(clock, await newcomers(pace, 1000), 0.0) == [0.0] * 1000


async def test_behind_a_refusal_they_take_turns_in_their_order(pace, clock):
    pace.refused()
    found = await let_in(clock, await newcomers(pace, 101), 1.0, then=pace.refused)
    # One at once, and then a few together.
    turns = [0, *(1 + k // _TOGETHER for k in range(100))]
    assert found == pytest.approx([turn * _APART_SECONDS for turn in turns], rel=0.1)


async def test_nobody_waits_for_more_than_a_second_however_many_come(pace, clock):
    pace.refused()
    found = await let_in(clock, await newcomers(pace, 3_000), 5.0, then=pace.refused)
    # Evenly over that second.
    assert found == pytest.approx([k / 3_000 * _LONGEST_SECONDS for k in range(3_000)], abs=0.02)


async def test_once_nobody_is_refused_any_more_all_come_in(pace, clock):
    pace.refused()
    found = await let_in(clock, await newcomers(pace, 200), 1.0)
    assert max(found) <= _FLOOD_SECONDS + 2 * _APART_SECONDS
    assert await let_in(clock, await newcomers(pace, 10), 0.0) == [0.0] * 10


async def test_who_comes_apart_from_others_does_not_wait(pace, clock):
    for _ in range(20):
        pace.refused()
        assert await let_in(clock, await newcomers(pace, 1), 0.0) == [0.0]
        clock.advance(_APART_SECONDS)


async def test_one_that_goes_away_costs_the_others_no_turn(pace, clock):
    pace.refused()
    first, gone, *others = await newcomers(pace, 2 + _TOGETHER)
    gone.cancel()
    found = await let_in(clock, [first, *others], 1.0)
    assert found == pytest.approx([0.0, *[_APART_SECONDS] * _TOGETHER], rel=0.1)
