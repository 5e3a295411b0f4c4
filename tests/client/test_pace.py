"""The pace of a recording, by a clock that is set by hand."""

from statewise_client.command.pace import Pace


class Clock:
    def __init__(self):
        self.now, self.slept = 100.0, []

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_steps_come_at_their_times_and_late_ones_at_once():
    clock = Clock()
    pace = Pace(10.0, clock.time, clock.sleep)

    pace.wait_for(0)
    clock.now += 0.25
    for step in (1, 2, 5):
        pace.wait_for(step)

    assert [round(seconds, 6) for seconds in clock.slept] == [0, 0, 0, 0.25]


def test_without_a_pace_nothing_waits():
    clock = Clock()
    pace = Pace(0.0, clock.time, clock.sleep)

    for step in range(3):
        pace.wait_for(step)

    assert clock.slept == []
