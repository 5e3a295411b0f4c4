"""Calls that go together: who goes with whom, who gets which answer, and what a failure costs."""

import asyncio

import pytest

from service.stores.gathering import Gathering


class Trips:
    """What is asked together; each trip is on its way until it is let go.

    Attributes:
        made: what each trip carried.
        fault: what trips come to, where it is set.
    """

    def __init__(self):
        self.made, self.fault = [], None
        self._ends = []
        self.gathering = Gathering(self._work, lambda asked: asked[0])

    async def _work(self, asked):
        self.made.append([*asked])
        end = asyncio.Event()
        self._ends.append(end)
        await end.wait()
        if self.fault is not None:
            raise self.fault
        return [f"answer to {one}" for one in asked]

    def ask(self, *asked):
        return [asyncio.ensure_future(self.gathering.ask(one)) for one in asked]

    async def end(self):
        """The trip under way comes back, and the next sets out."""
        self._ends.pop(0).set()
        await rounds()


async def rounds():
    for _ in range(10):
        await asyncio.sleep(0)


async def under_way(*asked):
    """A trip that carries the first alone, and the others behind it."""
    trips = Trips()
    first = trips.ask(asked[0])
    await rounds()
    rest = trips.ask(*asked[1:])
    await rounds()
    return trips, [*first, *rest]


async def test_what_comes_while_a_call_is_on_its_way_goes_together_with_the_next():
    asked = ("a", "b", "c", "d")
    trips, calls = await under_way(*asked)
    assert trips.made == [["a"]]
    await trips.end()
    assert trips.made == [["a"], ["b", "c", "d"]]
    await trips.end()
    assert await asyncio.gather(*calls) == [f"answer to {one}" for one in asked]
    # And whoever comes later is taken as well.
    (late,) = trips.ask("e")
    await rounds()
    await trips.end()
    assert await late == "answer to e"


async def test_a_trip_carries_a_bounded_number():
    asked = [chr(1_000 + number) for number in range(301)]
    trips, calls = await under_way(*asked)
    for _ in range(4):
        await trips.end()
    assert [len(trip) for trip in trips.made] == [1, 128, 128, 44]
    assert await asyncio.gather(*calls) == [f"answer to {one}" for one in asked]


async def test_two_of_one_key_never_go_together_nor_one_before_the_other():
    asked = ("a", "b1", "c1", "b2", "b3", "d1")
    trips, calls = await under_way(*asked)
    for _ in range(4):
        await trips.end()
    assert trips.made == [["a"], ["b1", "c1"], ["b2"], ["b3", "d1"]]
    assert await asyncio.gather(*calls) == [f"answer to {one}" for one in asked]


async def test_a_failure_is_told_to_all_that_went_together_and_to_nobody_else():
    trips, calls = await under_way("a", "b", "c")
    await trips.end()
    trips.fault = OSError("told to")
    behind = trips.ask("d")
    await rounds()
    await trips.end()
    trips.fault = None
    await trips.end()
    answers = await asyncio.gather(*calls, *behind, return_exceptions=True)
    assert [isinstance(one, OSError) for one in answers] == [False, True, True, False]


@pytest.mark.parametrize("fails", [False, True])
async def test_who_has_stopped_waiting_is_in_nobody_s_way(fails):
    trips, calls = await under_way("a", "b", "c")
    await trips.end()
    calls[1].cancel()
    trips.fault = OSError("told to") if fails else None
    behind = trips.ask("d")
    await rounds()
    await trips.end()
    trips.fault = None
    await trips.end()
    answers = await asyncio.gather(*calls, *behind, return_exceptions=True)
    kinds = [str, asyncio.CancelledError, OSError if fails else str, str]
    assert [type(one) for one in answers] == kinds


async def test_nobody_waits_for_a_trip_that_was_cancelled():
    trips, calls = await under_way("a", "b")
    trips.gathering._task.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in answers] == [asyncio.CancelledError] * 2
    # And what was not carried is not carried later.
    (late,) = trips.ask("c")
    await rounds()
    assert trips.made == [["a"], ["c"]]
    late.cancel()
