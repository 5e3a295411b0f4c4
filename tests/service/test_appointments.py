import heapq
import itertools

import numpy as np
import pytest
from clocks import Clock

from service.appointments import _APART_SECONDS, _LATEST_SECONDS, _SOONEST_SECONDS, Appointments


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def appointments(clock):
    return Appointments(clock)


def test_who_is_alone_may_come_again_soon(appointments, clock):
    assert appointments.next() == pytest.approx(_SOONEST_SECONDS)
    clock.now += 1.0
    assert appointments.next() == pytest.approx(_SOONEST_SECONDS)


def test_those_who_are_refused_together_come_one_after_the_other(appointments):
    told = [appointments.next() for _ in range(256)]
    apart = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert told[0] == pytest.approx(_SOONEST_SECONDS)
    assert apart == pytest.approx([_APART_SECONDS] * 255)


@pytest.mark.parametrize(
    ("callers", "a_second"), [(10, 10 / _SOONEST_SECONDS), (256, 50), (1_400, 50), (5_000, 220)]
)
def test_a_crowd_that_keeps_its_appointments_is_refused_at_a_steady_pace(
    appointments, clock, callers, a_second
):
    begun = clock.now
    waiting = sorted(begun + appointments.next() for _ in range(callers))
    refused = np.zeros(100)
    while waiting[0] < begun + len(refused):
        clock.now = waiting[0]
        refused[int(clock.now - begun)] += 1
        heapq.heapreplace(waiting, clock.now + appointments.next())
    # Behind the first rounds, which still show that they came all at once.
    settled = refused[40:]
    assert settled.mean() == pytest.approx(a_second, rel=0.05)
    assert settled.max() <= 1.5 * a_second


def test_nobody_is_told_to_wait_for_long(appointments):
    told = [appointments.next() for _ in range(10_000)]
    assert min(told) >= _SOONEST_SECONDS
    assert max(told) <= _LATEST_SECONDS
