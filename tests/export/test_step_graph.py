"""The single-step graph, run by ONNX Runtime."""

import numpy as np
import onnx
import pytest

from export import step_graph
from export.artifact import serialize
from export.cases import Case, draw_case
from export.graph_writer import IR_VERSION, OPSET
from export.random_model import random_network
from export.runtime import StepRunner
from training.reference import forward


def runner(**options: object) -> StepRunner:
    return StepRunner(serialize(step_graph.build(random_network(3, 4, 2, 2, **options))))


def dims(tensor: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]


@pytest.mark.parametrize("layers", [1, 3])
def test_its_tensors_are_rows_of_a_dynamic_batch(layers: int) -> None:
    graph = step_graph.build(random_network(3, 4, layers, 2)).graph

    assert {tensor.name: dims(tensor) for tensor in graph.input} == {
        "input": ["batch", 3],
        "state": ["batch", 4 * layers],
    }
    assert {tensor.name: dims(tensor) for tensor in graph.output} == {
        "output": ["batch", 2],
        "next_state": ["batch", 4 * layers],
    }


def test_it_asks_for_old_versions_that_many_runtimes_read() -> None:
    model = step_graph.build(random_network(3, 4, 1, 2))

    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert (IR_VERSION, OPSET) == (7, 13)
    assert len(model.opset_import) == 1


def test_activations_directly_follow_their_product() -> None:
    producers = {}
    nodes = step_graph.build(random_network(3, 4, 2, 2)).graph.node
    for node in nodes:
        producers.update(dict.fromkeys(node.output, node.op_type))

    for node in nodes:
        if node.op_type in ("Sigmoid", "Tanh"):
            assert producers[node.input[0]] == "Gemm"


def test_layers_stand_side_by_side_bottom_first() -> None:
    network = random_network(3, 4, 2, 2)
    case = draw_case(network, 1, 5, np.random.default_rng(0))
    bottom_first = np.stack([case.state[:, :4], case.state[:, 4:]]).astype(float)

    trace = forward(network, case.inputs.astype(float), bottom_first)
    answer = StepRunner(serialize(step_graph.build(network))).run(case)

    np.testing.assert_allclose(answer.final_state[:, :4], trace.final_state[0], atol=1e-6)
    np.testing.assert_allclose(answer.final_state[:, 4:], trace.final_state[1], atol=1e-6)


def test_the_bottom_layer_does_not_see_the_one_above_it() -> None:
    case = draw_case(random_network(3, 4, 2, 2), 1, 2, np.random.default_rng(0))
    other = Case(case.inputs, case.state.copy())
    other.state[:, 4:] = 0.5

    first, second = runner().run(case).final_state, runner().run(other).final_state

    assert np.array_equal(first[:, :4], second[:, :4])
    assert not np.array_equal(first[:, 4:], second[:, 4:])


def test_an_open_update_gate_keeps_the_state_bit_for_bit() -> None:
    network = random_network(3, 16, 1, 2)
    network.layers[0].b_z[:] = 100.0  # sigmoid(100) is 1 in float32
    case = draw_case(network, 500, 3, np.random.default_rng(0))

    answer = StepRunner(serialize(step_graph.build(network))).run(case)

    assert np.array_equal(answer.final_state.view(np.uint32), case.state.view(np.uint32))


def test_softmax_outputs_are_probabilities_of_a_row() -> None:
    case = draw_case(random_network(3, 4, 2, 2), 6, 5, np.random.default_rng(0))

    outputs = runner(activation="softmax").run(case).outputs

    np.testing.assert_allclose(outputs.sum(axis=2), 1, atol=1e-6)


def test_a_network_without_bias_has_no_bias_in_its_layers() -> None:
    names = {
        t.name for t in step_graph.build(random_network(3, 4, 2, 2, bias=False)).graph.initializer
    }

    assert not {name for name in names if name.startswith("layers") and name.endswith("bias")}


def test_equal_networks_have_equal_bytes() -> None:
    first, second = (serialize(step_graph.build(random_network(3, 4, 2, 2))) for _ in range(2))

    assert first == second
