"""Products of states in 8-bit integers: rounded as said, the same bits in company, and judged."""

from dataclasses import fields, replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from export import int8
from export.artifact import Artifact, serialize
from export.cases import Case, answer, draw_case
from export.errors import ArtifactError, FormError
from export.exporter import make_artifact
from export.forms import STEP, STEP_INT8, form_of
from export.golden import make_golden
from export.int8_twin import LIMIT, measure_tolerances, rounded_answer
from export.proof import Proof, ProofSettings, prove
from export.random_model import random_model, random_network
from export.runtime import StepRunner
from protos.content import content_digest
from protos.statewise.v1.manifest_pb2 import Cell
from training.reference import Activation, Layer, Network

SMALL = replace(STEP_INT8, smallest_hidden=1)


def made(network: Network, quick: ProofSettings) -> tuple[Artifact, Proof]:
    return make_artifact(random_model(network), SMALL, quick)


def failed(proof: Proof) -> set[str]:
    return {comparison.check for comparison in proof.failures}


def grown(network: Network, gain: float) -> Network:
    """The network with larger weights, which amplify what a step rounds."""

    def larger(layer: Layer) -> Layer:
        values = {f.name: gain * getattr(layer, f.name) for f in fields(layer)}
        return Layer(**{k: v.astype(np.float32).astype(float) for k, v in values.items()})

    return replace(network, layers=tuple(map(larger, network.layers)))


@given(
    features=st.integers(1, 9),
    hidden=st.integers(1, 20),
    layers=st.integers(1, 3),
    reset_after=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(["softmax", "sigmoid", "identity"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_every_network_is_proven_with_the_same_bits_in_all_company(
    features: int,
    hidden: int,
    layers: int,
    reset_after: bool,
    bias: bool,
    activation: Activation,
    seed: int,
) -> None:
    options = {"reset_after": reset_after, "bias": bias, "activation": activation, "seed": seed}
    network = random_network(features, hidden, layers, 3, **options)
    brief = ProofSettings(
        reference_steps=30, reference_batches=(1, 8), company_batches=(2, 5, 17), chunked_steps=5
    )

    artifact, proof = made(network, brief)

    # A few networks of a few units stand on the edge between two steps of rounding, or have an
    # output that hardly moves: those may be further off than allowed, never different in company.
    assert failed(proof) <= {"reference outputs", "reference states", "golden replay"}
    assert {one.check: one.tolerance for one in proof.comparisons}["batch company"] == 0
    assert failed(prove(artifact, settings=brief)) <= failed(proof) | {"golden replay"}


@pytest.mark.parametrize("reset_after", [False, True])
def test_what_it_costs_is_measured_and_stands_in_the_report(
    reset_after: bool, quick: ProofSettings
) -> None:
    network = random_network(5, 256, 2, 3, reset_after=reset_after)

    artifact, proof = make_artifact(random_model(network), STEP_INT8, quick)

    assert failed(proof) == set()
    worst = {one.check: one for one in artifact.manifest.validation.comparisons}
    assert 1e-5 < worst["reference outputs"].worst_error < 1e-3
    assert 1e-4 < worst["reference states"].worst_error < 1e-2
    assert worst["reference states"].tolerance < 0.02
    assert artifact.manifest.golden.tolerance < 0.02
    assert artifact.manifest.cell.precision == Cell.PRECISION_INT8
    assert failed(prove(artifact, settings=quick)) == set()


@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"bias": False}])
def test_the_engine_rounds_as_the_twin_does(options: dict[str, bool]) -> None:
    network = random_network(3, 64, 2, 4, activation="identity", **options)
    case = draw_case(network, 20, 3, np.random.default_rng(0))

    actual = StepRunner(serialize(STEP_INT8.build(network))).run(case)
    twin, exact = rounded_answer(network, case), answer(network, case)

    assert actual.outputs == pytest.approx(twin.outputs, abs=2e-6)
    assert actual.final_state == pytest.approx(twin.final_state, abs=2e-6)
    assert np.abs(exact.outputs - twin.outputs).max() > 1e-4


def test_a_state_out_of_its_range_is_taken_as_the_nearest_in_it() -> None:
    network = random_network(3, 16, 1, 2)
    runner = StepRunner(serialize(STEP_INT8.build(network)))
    inputs = np.zeros((1, 2, 3), np.float32)
    state = np.stack([np.full(16, 1.5), np.full(16, 1.0)]).astype(np.float32)

    outputs = runner.run(Case(inputs, state)).outputs

    assert np.isfinite(outputs).all()
    twin = rounded_answer(network, Case(inputs, state))
    assert outputs == pytest.approx(twin.outputs, abs=1e-6)


def test_two_products_fit_in_16_bits() -> None:
    weight = np.random.default_rng(0).normal(size=(50, 7))
    weight[:, 3] = 0

    whole, scale = int8.quantize(weight)

    assert whole.dtype == np.int8
    assert np.abs(whole).max(axis=0).tolist() == [64, 64, 64, 0, 64, 64, 64]
    assert 2 * 255 * int(np.abs(whole).max()) < 2**15
    error = np.abs(int8.dequantize(whole, scale) - weight).max(axis=0)
    assert (error <= np.abs(weight).max(axis=0) / 64 * 0.51).all()


def test_weights_of_the_input_stay_whole_and_those_of_states_are_rounded() -> None:
    network = random_network(3, 8, 2, 2)
    kept = int8.keep(network)

    for index, (layer, before) in enumerate(zip(kept.layers, network.layers, strict=True)):
        same = {f.name for f in fields(layer) if np.array_equal(*pair(layer, before, f.name))}
        biases = {"b_z", "b_r", "b_c", "d_c"}
        assert same == (biases | {"w_z", "w_r", "w_c"} if index == 0 else biases)
    assert np.array_equal(kept.head_weight, network.head_weight)


def pair(one: Layer, other: Layer, name: str) -> tuple[np.ndarray, np.ndarray]:
    return getattr(one, name), getattr(other, name)


def test_a_network_that_amplifies_rounding_is_refused(quick: ProofSettings) -> None:
    network = grown(random_network(16, 32, 1, 3, seed=1), 8)

    _, proof = made(network, quick)

    assert "reference states" in failed(proof)
    (states,) = [one for one in proof.failures if one.check == "reference states"]
    assert states.tolerance == pytest.approx(LIMIT)


def test_the_tolerance_follows_what_rounding_costs() -> None:
    def measure(network: Network) -> float:
        case = draw_case(network, 30, 3, np.random.default_rng(0))
        return measure_tolerances(network, [(case, answer(network, case))]).state

    calm = random_network(4, 64, 1, 3)
    assert measure(calm) < measure(grown(calm, 2)) <= LIMIT


def test_one_whole_number_that_is_not_the_checkpoint_s_is_found(quick: ProofSettings) -> None:
    def build(network: Network) -> onnx.ModelProto:
        model = STEP_INT8.build(network)
        name = "layers.1.gates.state.weight"
        tensor = next(one for one in model.graph.initializer if one.name == name)
        values = numpy_helper.to_array(tensor).copy()
        values[2, 1] ^= 1
        tensor.CopyFrom(numpy_helper.from_array(values, name))
        return model

    network = random_network(4, 16, 2, 3)
    _, proof = make_artifact(random_model(network), replace(SMALL, build=build), quick)

    assert "weights" in failed(proof)


def test_a_scale_of_the_whole_call_is_found(quick: ProofSettings) -> None:
    def dynamic(network: Network) -> onnx.ModelProto:
        """Takes the scale from the states of the call, as dynamic quantisation does."""
        model = STEP_INT8.build(network)
        nodes = []
        for node in model.graph.node:
            if node.op_type == "QuantizeLinear":
                names = [f"{node.name}.{part}" for part in ("size", "most", "scale")]
                nodes.append(onnx.helper.make_node("Abs", [node.input[0]], [names[0]]))
                nodes.append(onnx.helper.make_node("ReduceMax", [names[0]], [names[1]], keepdims=0))
                nodes.append(onnx.helper.make_node("Mul", [names[1], node.input[1]], [names[2]]))
                node.input[1] = names[2]
            nodes.append(node)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return model

    network = random_network(4, 16, 1, 3)
    _, proof = make_artifact(random_model(network), replace(SMALL, build=dynamic), quick)

    assert "batch company" in failed(proof)


def test_a_network_that_is_too_small_is_refused() -> None:
    model = random_model(random_network(4, 255, 1, 3))

    with pytest.raises(FormError, match=r"hidden is 255: int8 is less exact .* leave --quantize"):
        make_artifact(model, STEP_INT8)


def test_a_manifest_of_another_precision_is_refused(quick: ProofSettings) -> None:
    artifact, _ = made(random_network(4, 16, 1, 3), quick)
    artifact.manifest.cell.precision = Cell.PRECISION_FLOAT32

    with pytest.raises(ArtifactError, match=r"precision is PRECISION_FLOAT32, and the graph"):
        prove(artifact, settings=quick)


def test_graphs_are_known_by_their_products() -> None:
    network = random_network(4, 16, 1, 3)

    assert form_of(STEP_INT8.build(network)) is STEP_INT8
    assert form_of(STEP.build(network)) is STEP
    digests = {content_digest(serialize(form.build(network))) for form in (STEP, STEP_INT8)}
    assert len(digests) == 2


def test_golden_vectors_answer_as_the_trained_network() -> None:
    network = random_network(4, 256, 1, 3)
    exact, rounded = make_golden(network, STEP), make_golden(network, STEP_INT8)

    assert exact.outputs == rounded.outputs
    assert rounded.tolerance > 10 * exact.tolerance
