"""The sequence form: its attribute, its padding, and the step form beside it."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from export import sequence_graph, step_graph
from export.artifact import Artifact, serialize
from export.cases import draw_case
from export.errors import ArtifactError
from export.forms import SEQUENCE
from export.proof import Proof
from export.random_model import random_network
from export.runtime import SequenceRunner, StepRunner


def gru_attributes(model: onnx.ModelProto) -> list[dict[str, object]]:
    return [
        {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        for node in model.graph.node
        if node.op_type == "GRU"
    ]


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_cell_form_is_written_out_and_the_layout_is_time_major(reset_after: bool) -> None:
    model = sequence_graph.build(random_network(3, 4, 2, 2, reset_after=reset_after))

    expected = {"hidden_size": 4, "linear_before_reset": int(reset_after)}
    assert gru_attributes(model) == [expected, expected]


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_left_out_cell_form_is_refused_even_where_the_default_is_right(
    reset_after: bool,
    make: Callable[..., Artifact],
    prove_spoilt: Callable[..., Proof],
) -> None:
    def drop(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "GRU")
        kept = [one for one in node.attribute if one.name != "linear_before_reset"]
        del node.attribute[:]
        node.attribute.extend(kept)

    with pytest.raises(ArtifactError, match=r"linear_before_reset of layers\.0 is missing"):
        prove_spoilt(make(SEQUENCE, reset_after=reset_after), drop)


def test_the_other_cell_form_is_refused(
    make: Callable[..., Artifact], prove_spoilt: Callable[..., Proof]
) -> None:
    def swap(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "GRU")
        next(one for one in node.attribute if one.name == "linear_before_reset").i = 1

    with pytest.raises(ArtifactError, match=r"linear_before_reset of layers\.0 is 1, .* needs 0"):
        prove_spoilt(make(SEQUENCE), swap)


def test_both_forms_answer_alike() -> None:
    network = random_network(3, 9, 2, 2)
    case = draw_case(network, 40, 3, np.random.default_rng(0))

    step = StepRunner(serialize(step_graph.build(network))).run(case)
    sequence = SequenceRunner(serialize(sequence_graph.build(network))).run(case)

    np.testing.assert_allclose(step.outputs, sequence.outputs, atol=1e-6)
    np.testing.assert_allclose(step.final_state, sequence.final_state, atol=1e-6)


def test_padding_does_not_touch_what_is_real() -> None:
    network = random_network(3, 9, 1, 2)
    case = draw_case(network, 10, 2, np.random.default_rng(0))
    runner = SequenceRunner(serialize(sequence_graph.build(network)))
    lengths = np.array([4, 10], np.int32)

    before = runner.run_lengths(case, lengths)
    case.inputs[4:, 0] = 1e6
    after = runner.run_lengths(case, lengths)

    assert np.array_equal(before.outputs[:4, 0], after.outputs[:4, 0])
    assert np.array_equal(before.outputs[:, 1], after.outputs[:, 1])
    assert np.array_equal(before.final_state, after.final_state)
