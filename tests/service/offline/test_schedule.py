import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.offline.schedule import deal, width

lengths_of_sequences = st.lists(st.integers(1, 200), min_size=1, max_size=40)


def occupancy(lengths, lanes):
    """Which sequence stands where, as the runs tell it: a list a tick, a lane an item."""
    ticks, standing = [], {}
    for run in deal(np.array(lengths), lanes).runs():
        standing |= zip(run.entered.tolist(), run.entering.tolist(), strict=True)
        ticks += [[standing[lane] for lane in range(run.lanes)]] * run.ticks
    return ticks


@given(lengths=lengths_of_sequences, lanes=st.integers(1, 9))
def test_every_sequence_takes_its_steps_in_one_lane_without_a_pause(lengths, lanes):
    ticks = occupancy(lengths, lanes)

    for sequence, length in enumerate(lengths):
        seen = [(t, tick.index(sequence)) for t, tick in enumerate(ticks) if sequence in tick]
        begin, lane = seen[0]
        assert seen == [(begin + step, lane) for step in range(length)]


@given(lengths=lengths_of_sequences, lanes=st.integers(1, 9))
def test_steps_are_as_wide_as_they_can_be(lengths, lanes):
    ticks = occupancy(lengths, lanes)
    widths = [len(tick) for tick in ticks]

    assert widths == sorted(widths, reverse=True)
    assert widths[0] == min(lanes, len(lengths))
    # While a sequence waits, every lane is occupied.
    begins = deal(np.array(lengths), lanes).begin
    assert all(width == lanes for width in widths[: begins.max()])


@given(lengths=lengths_of_sequences, lanes=st.integers(1, 9))
def test_no_run_is_so_long_that_progress_would_stand_still(lengths, lanes):
    assert all(1 <= run.ticks <= 64 for run in deal(np.array(lengths), lanes).runs())


def test_the_longest_goes_first():
    assert deal(np.array([1] * 50 + [50]), 2).loads.tolist() == [50, 50]


@given(lengths=lengths_of_sequences, lanes=st.integers(1, 9))
def test_every_sequence_leaves_its_lane_behind_its_last_step(lengths, lanes):
    standing, took, tick = {}, {}, 0
    for run in deal(np.array(lengths), lanes).runs():
        for sequence, lane in zip(run.entering.tolist(), run.entered.tolist(), strict=True):
            standing[sequence] = lane, tick
        tick += run.ticks
        for sequence, lane in zip(run.leaving.tolist(), run.left.tolist(), strict=True):
            entered, begun = standing.pop(sequence)
            assert entered == lane
            took[sequence] = tick - begun

    assert [took[sequence] for sequence in range(len(lengths))] == lengths


def test_lanes_are_full_as_long_as_the_longest_sequence_takes():
    assert width(np.array([100] * 1000), 256) == 256
    assert width(np.array([1000] + [100] * 1000), 256) == 101
    assert width(np.array([10_000] + [100] * 1000), 256) == 64
    assert width(np.array([10_000] + [100] * 1000), 8) == 8
