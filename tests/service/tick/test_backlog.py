from hypothesis import given
from hypothesis import strategies as st

from service.tick.backlog import Backlog, Lengths
from service.tick.ready import Ready, Whole


def steps(count):
    return [Ready(number, b"") for number in range(count)]


def test_those_that_waited_longest_go_first():
    backlog = Backlog()
    first, second = steps(2), steps(3)
    backlog.put(first, 0)
    backlog.put(second, 0)
    assert backlog.take(3, 0)[0] == [*first, second[0]]
    assert backlog.take(3, 0)[0] == second[1:]
    assert backlog.take(3, 0) == ([], 0)


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 7))
def test_every_nanosecond_of_waiting_is_counted_once(puts, most):
    backlog, expected, counted, now = Backlog(), 0, 0, 0
    arrivals = []
    for count in puts:
        now += 10
        backlog.put(steps(count), now)
        arrivals += [now] * count
    while len(backlog):
        now += 3
        batch, waited = backlog.take(most, now)
        assert len(batch) == min(most, len(arrivals))
        expected += sum(now - came for came in arrivals[: len(batch)])
        del arrivals[: len(batch)]
        counted += waited
        assert counted == expected


def test_dropped_ones_leave_their_place_to_others():
    backlog = Backlog()
    batch = steps(6)
    backlog.put(batch, 0)
    for ready in (batch[0], batch[3]):
        backlog.drop(ready)
    assert backlog.take(2, 0)[0] == [batch[1], batch[2]]
    assert backlog.take(2, 0)[0] == [batch[4], batch[5]]
    assert not len(backlog)


def test_whole_chunks_are_taken_by_length_the_oldest_first():
    backlog = Lengths()
    chunks = {name: Whole(slot, b"", int(name[1])) for slot, name in enumerate(("a3", "b5", "c3"))}
    backlog.put([chunks["a3"]], now=100)
    backlog.put([chunks["b5"]], now=200)
    backlog.put([chunks["c3"]], now=300)
    assert (len(backlog), backlog.steps) == (3, 3)
    assert backlog.take(1, now=400) == ([chunks["a3"]], 300)
    # The length of what has waited longest, though 3 was there first.
    assert backlog.steps == 5
    backlog.drop(chunks["b5"])
    assert backlog.take(9, now=400) == ([], 200)
    assert backlog.take(9, now=400) == ([chunks["c3"]], 100)
    assert not backlog
    assert backlog.take(9, now=400) == ([], 0)
