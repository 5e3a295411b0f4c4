import numpy as np
import onnxruntime
import pytest

from benchmarks import model
from benchmarks.errors import WrongAnswerError
from benchmarks.load.rows import ROWS, stream_rows
from benchmarks.serving.agreement import Agreement, compare, replay

STEPS = [3, ROWS + 4, 1]


@pytest.fixture(scope="module")
def outputs(repository):
    return replay(model.path(repository), STEPS)


def test_a_replay_is_each_stream_by_itself(repository, outputs):
    session = onnxruntime.InferenceSession(
        model.path(repository), providers=["CPUExecutionProvider"]
    )
    source, state_input = session.get_inputs()
    for stream, steps in enumerate(STEPS):
        rows = stream_rows(stream, source.shape[1])
        state = np.zeros((1, state_input.shape[1]), np.float32)
        assert len(outputs[stream]) == steps
        for step in range(steps):
            feed = {source.name: rows[step % ROWS][None], state_input.name: state}
            answer, state = session.run(None, feed)
            assert answer[0].tobytes() == outputs[stream][step].tobytes()


def test_the_model_s_own_answers_agree(repository, outputs):
    agreement = compare(model.path(repository), outputs)
    assert (agreement.steps, agreement.differing_values) == (sum(STEPS), 0)
    agreement.require(tolerance=0)


def test_one_bit_is_seen_and_placed(repository, outputs):
    wrong = [array.copy() for array in outputs]
    wrong[1].view(np.uint32)[6, 2] ^= 1
    agreement = compare(model.path(repository), wrong)
    assert (agreement.differing_values, agreement.where) == (1, "stream 1, step 7")
    agreement.require(tolerance=1e-5)
    with pytest.raises(WrongAnswerError, match=r"1 values of 24 steps .* stream 1, step 7"):
        agreement.require(tolerance=0)


def test_bits_count_even_where_the_numbers_are_equal():
    zeros_of_two_signs = Agreement(steps=1, differing_values=1, worst_error=0.0, where="")
    zeros_of_two_signs.require(tolerance=1e-5)
    with pytest.raises(WrongAnswerError):
        zeros_of_two_signs.require(tolerance=0)


def test_a_stream_without_answers_is_passed_over(repository):
    outputs = replay(model.path(repository), [2, 0, 3])
    assert [len(array) for array in outputs] == [2, 0, 3]
    outputs[2].view(np.uint32)[0, 0] ^= 1
    agreement = compare(model.path(repository), outputs)
    assert (agreement.steps, agreement.where) == (5, "stream 2, step 1")


def test_swapped_streams_are_seen(repository, outputs):
    rows = [outputs[0], outputs[1][: STEPS[0]]]
    with pytest.raises(WrongAnswerError):
        compare(model.path(repository), rows[::-1]).require(tolerance=1e-5)


def test_an_answer_that_is_not_a_number_is_wrong(repository, outputs):
    wrong = [array.copy() for array in outputs]
    wrong[0][0, 0] = np.nan
    with pytest.raises(WrongAnswerError, match="stream 0, step 1"):
        compare(model.path(repository), wrong).require(tolerance=1e-5)
