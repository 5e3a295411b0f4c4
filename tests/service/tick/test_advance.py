import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tick.advance import HostAdvance
from service.tick.arena import Arena
from tests.service.fakes import FEATURES, OUTPUTS, SIGNATURE, STATE, FakeEngine, alone

_ROWS = 5


@pytest.fixture
def advance() -> HostAdvance:
    return make(FakeEngine(_ROWS))


def make(engine: FakeEngine) -> HostAdvance:
    arena = Arena(16, np.zeros(STATE, np.float32))
    return HostAdvance(engine, arena, (SIGNATURE.output_layout(), SIGNATURE.state_layout()))


def test_streams_of_changing_batches_each_get_their_own_answers(advance):
    inputs = np.random.default_rng(0).normal(size=(_ROWS, 6, FEATURES)).astype(np.float32)
    taken = np.zeros(_ROWS, int)
    wanted = [alone(one) for one in inputs]
    # Sizes come again, so that what was cut for them is used again.
    for batch in ([0, 1, 2], [4, 3], [2, 0, 1], [3], [1, 4], [3, 2, 0, 4, 1], [0]):
        slots = np.array(batch)
        advance.inputs[: len(batch)] = inputs[slots, taken[slots]]
        advance.gather(slots)
        advance.step(len(batch))
        assert advance.scatter(slots) is None
        for row, stream in enumerate(batch):
            np.testing.assert_array_equal(advance.outputs[row], wanted[stream][taken[stream]])
        taken[slots] += 1


@given(
    rows=st.integers(1, _ROWS),
    row=st.integers(0, _ROWS - 1),
    column=st.integers(0, OUTPUTS + STATE - 1),
    bad=st.sampled_from((np.nan, np.inf, -np.inf)),
)
def test_a_row_that_came_out_as_no_number_is_named_wherever_it_stands(rows, row, column, bad):
    engine = FakeEngine(_ROWS)
    advance, slots = make(engine), np.arange(rows)
    if column < OUTPUTS:
        engine.outputs[row, column] = bad
    else:
        engine.next_states[row, column - OUTPUTS] = bad
    found = advance.scatter(slots)
    if row >= rows:
        # Left by a larger batch before: no row of this one.
        assert found is None
        return
    assert found is not None
    assert found.tolist() == [number != row for number in range(rows)]


def test_numbers_are_numbers_though_their_squares_overflow(advance):
    advance.outputs[:] = np.finfo(np.float32).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert advance.scatter(np.arange(_ROWS)) is None
