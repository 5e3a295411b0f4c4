"""What is right is proven, and each fault is refused by the check that is made for it."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from export.artifact import Artifact
from export.errors import ArtifactError
from export.exporter import make_artifact
from export.forms import SEQUENCE, STEP, Form
from export.proof import Proof, ProofSettings, prove
from export.random_model import random_model, random_network
from training.reference import Activation, Network

SHORT = ProofSettings(
    reference_steps=30, reference_batches=(1, 3, 8), company_batches=(2, 5, 17), chunked_steps=5
)
ProveSpoilt = Callable[[Artifact, Callable[[onnx.ModelProto], None]], Proof]


def failed(proof: Proof) -> set[str]:
    return {comparison.check for comparison in proof.failures}


@given(
    form=st.sampled_from([STEP, SEQUENCE]),
    features=st.integers(1, 9),
    hidden=st.integers(1, 20),
    layers=st.integers(1, 3),
    outputs=st.integers(1, 5),
    reset_after=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(["softmax", "sigmoid", "identity"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_every_network_of_every_form_is_proven(
    form: Form,
    features: int,
    hidden: int,
    layers: int,
    outputs: int,
    reset_after: bool,
    bias: bool,
    activation: Activation,
    seed: int,
) -> None:
    network = random_network(
        features,
        hidden,
        layers,
        outputs,
        reset_after=reset_after,
        bias=bias,
        activation=activation,
        seed=seed,
    )

    artifact, proof = make_artifact(random_model(network), form, SHORT)

    assert failed(proof) == set()
    assert failed(prove(artifact, settings=SHORT)) == set()
    assert all(comparison.values > 0 for comparison in proof.comparisons)


def test_a_thorough_proof_says_what_it_compared() -> None:
    _, proof = make_artifact(random_model(random_network(5, 8, 1, 3)))

    assert failed(proof) == set()
    compared = {one.check: one.compared for one in proof.comparisons}
    assert "1000 steps, batch 1, 2, 3, 7, 64" in compared["reference outputs"]
    assert set(compared) == {
        "onnx checker",
        "weights",
        "reference outputs",
        "reference states",
        "golden answers",
        "golden replay",
        "batch company",
        "chunking",
    }
    assert {batch: len(errors) for batch, errors in proof.error_by_step.items()} == dict.fromkeys(
        (1, 2, 3, 7, 64), 1000
    )


def change_weight(name: str, size: float) -> Callable[[onnx.ModelProto], None]:
    """Changes one number of a weight."""

    def spoil(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == name)
        values = numpy_helper.to_array(tensor).copy()
        values.flat[0] += np.float32(size)
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return spoil


def spoilt_form(spoil: Callable[[onnx.ModelProto], None]) -> Form:
    """An export whose graph comes out wrong."""

    def build(network: Network) -> onnx.ModelProto:
        model = STEP.build(network)
        spoil(model)
        return model

    return Form(build, STEP.signature, STEP.read_layer, exact=True)


@pytest.mark.parametrize(
    "name", ["layers.1.gates.weight", "layers.0.candidate.bias", "head.weight", "input.scale"]
)
def test_one_weight_that_is_not_the_checkpoint_s_is_found(name: str, quick: ProofSettings) -> None:
    form = spoilt_form(change_weight(name, 1e-6))

    _, proof = make_artifact(random_model(random_network(4, 6, 2, 3)), form, quick)

    assert "weights" in failed(proof)


def test_a_weight_that_float32_cannot_hold_is_found(quick: ProofSettings) -> None:
    network = random_network(4, 6, 2, 3)
    network.head_bias[1] = 0.1

    _, proof = make_artifact(random_model(network), STEP, quick)

    assert failed(proof) == {"weights"}
    assert proof.failures[0].where == "head_bias, row 1"


def test_without_the_checkpoint_the_golden_vectors_tell_a_changed_weight(
    make: Callable[..., Artifact], prove_spoilt: ProveSpoilt
) -> None:
    proof = prove_spoilt(make(), change_weight("layers.0.gates.weight", 1e-6))

    assert failed(proof) == {"golden answers"}


def test_swapped_gates_are_found(make: Callable[..., Artifact], prove_spoilt: ProveSpoilt) -> None:
    def swap(model: onnx.ModelProto) -> None:
        node = next(one for one in model.graph.node if one.name == "layers.1.update_gate")
        node.output[0], node.output[1] = node.output[1], node.output[0]

    assert failed(prove_spoilt(make(), swap)) >= {"reference outputs", "reference states"}


def test_the_other_cell_s_answers_are_found(quick: ProofSettings) -> None:
    artifact, _ = make_artifact(
        random_model(random_network(4, 6, 1, 3, bias=False)), SEQUENCE, quick
    )
    node = next(one for one in artifact.model.graph.node if one.op_type == "GRU")
    next(one for one in node.attribute if one.name == "linear_before_reset").i = 1
    artifact.manifest.cell.form = artifact.manifest.cell.FORM_GRU_RESET_AFTER

    # Now it is a whole reset-after model; only the stored answers are another cell's.
    assert failed(prove(artifact, settings=quick)) == {"golden answers", "golden replay"}


def leak(model: onnx.ModelProto) -> None:
    """Adds a trace of the whole batch to every row, too small to break the tolerance."""
    head = next(one for one in model.graph.node if one.name == "head.product")
    model.graph.initializer.append(numpy_helper.from_array(np.float32(3e-7), "little"))
    nodes = [
        helper.make_node("ReduceMean", [head.input[0]], ["everybody"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["everybody", "little"], ["trace"]),
        helper.make_node("Add", [head.input[0], "trace"], ["leaked"]),
    ]
    head.input[0] = "leaked"
    position = list(model.graph.node).index(head)
    rest = list(model.graph.node)[position:]
    del model.graph.node[position:]
    model.graph.node.extend([*nodes, *rest])


def test_rows_that_influence_each_other_are_found(
    make: Callable[..., Artifact], prove_spoilt: ProveSpoilt
) -> None:
    proof = prove_spoilt(make(activation="identity"), leak)

    assert failed(proof) == {"batch company"}
    assert proof.failures[0].worst_error < 1e-6


def test_a_network_that_amplifies_rounding_is_found(chaotic: Network) -> None:
    settings = ProofSettings(reference_batches=(3,), company_batches=(2,), chunked_steps=3)

    _, proof = make_artifact(random_model(chaotic), STEP, settings)

    assert "reference states" in failed(proof)


def test_a_weight_that_is_no_number_is_found(quick: ProofSettings) -> None:
    network = random_network(4, 6, 1, 3)
    network.layers[0].u_c[2, 2] = np.nan

    _, proof = make_artifact(random_model(network), STEP, quick)

    assert failed(proof) >= {"reference outputs", "golden answers", "golden replay"}
    assert np.isinf(proof.failures[0].worst_error)


def test_a_graph_that_the_checker_refuses_is_not_run(
    make: Callable[..., Artifact], prove_spoilt: ProveSpoilt
) -> None:
    def misspell(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Subtract"

    proof = prove_spoilt(make(), misspell)

    assert failed(proof) == {"onnx checker"}
    assert "Subtract" in proof.failures[0].where
    assert len(proof.comparisons) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.input.channels.add(name="more"), r"input FLOAT\[batch, 5\]"),
        (lambda manifest: manifest.output.channels.pop(), r"output FLOAT\[batch, 2\]"),
        (lambda manifest: setattr(manifest.cell, "hidden", 5), r"manifest\.states .* 2 x 5"),
        (lambda manifest: manifest.states.pop(), r"manifest\.states"),
        (lambda manifest: setattr(manifest.states[0], "batch_axis", 1), r"manifest\.states"),
        (lambda manifest: setattr(manifest.cell, "form", 0), r"manifest: cell\.form"),
        (
            lambda manifest: setattr(manifest.cell, "form", 2),
            r"candidate\.input\.weight' is missing",
        ),
        (lambda manifest: setattr(manifest.output, "activation", 0), r"output\.activation"),
        (lambda manifest: setattr(manifest.golden, "steps", 3), r"golden\.inputs has 3072 bytes"),
        (lambda manifest: manifest.golden.ClearField("outputs"), r"golden\.outputs has 0 bytes"),
        (lambda manifest: manifest.golden.ClearField("tolerance"), r"golden\.tolerance is 0\.0"),
    ],
)
def test_a_manifest_that_does_not_match_its_graph_is_refused(
    change: Callable[[object], object],
    message: str,
    make: Callable[..., Artifact],
    quick: ProofSettings,
) -> None:
    artifact = make()
    change(artifact.manifest)

    with pytest.raises(ArtifactError, match=message):
        prove(artifact, settings=quick)


def test_a_missing_or_reshaped_weight_is_refused(
    make: Callable[..., Artifact], prove_spoilt: ProveSpoilt
) -> None:
    def rename(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.name = tensor.name.replace("head.weight", "w")
        for node in model.graph.node:
            node.input[:] = [name.replace("head.weight", "w") for name in node.input]

    def widen(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "input.mean")
        values = numpy_helper.to_array(tensor)[np.newaxis]
        tensor.CopyFrom(numpy_helper.from_array(values, "input.mean"))

    with pytest.raises(ArtifactError, match=r"'head\.weight' is missing"):
        prove_spoilt(make(), rename)
    with pytest.raises(ArtifactError, match=r"'input\.mean' is FLOAT \[1, 4\], .* FLOAT \[4\]"):
        prove_spoilt(make(), widen)


def test_a_graph_that_cannot_run_every_batch_is_refused(
    make: Callable[..., Artifact], prove_spoilt: ProveSpoilt
) -> None:
    def fix_batch(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 4]), "fixed"))
        node = next(one for one in model.graph.node if one.name == "input.centred")
        reshape = helper.make_node("Reshape", ["input", "fixed"], ["reshaped"])
        node.input[0] = "reshaped"
        model.graph.node.insert(0, reshape)

    with pytest.raises(ArtifactError, match=r"ONNX Runtime can't run the graph: "):
        prove_spoilt(make(), fix_batch)
