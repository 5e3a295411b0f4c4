"""What an artefact says about itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from export.artifact import Artifact
from export.cases import answer
from export.errors import ArtifactError, RunError
from export.exporter import make_artifact
from export.golden import BATCH, STEPS, read_golden
from export.manifest import check_tensor_names, sizes_of
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from protos.statewise.v1.manifest_pb2 import Cell, Output
from training.trained import Channel, TrainedModel


@pytest.fixture
def model() -> TrainedModel:
    return replace(
        random_model(random_network(4, 6, 2, 3), "activity"),
        features=tuple(Channel(f"sensor {index}", "m/s2") for index in range(4)),
        steps_per_second=10.0,
        data_digest="sha256:abc",
        config="seed = 7\n",
        metrics={"accuracy_percent": 97.5},
        versions={"torch": "2.13.0"},
    )


def test_it_says_what_the_model_is(model: TrainedModel, quick: ProofSettings) -> None:
    manifest = make_artifact(model, settings=quick)[0].manifest

    assert (manifest.format_version, manifest.name) == (1, "activity")
    expected = Cell(form=Cell.FORM_GRU_RESET_BEFORE, layers=2, hidden=6, bias=True)
    assert manifest.cell == expected
    assert [channel.name for channel in manifest.input.channels][:2] == ["sensor 0", "sensor 1"]
    assert {channel.unit for channel in manifest.input.channels} == {"m/s2"}
    assert len(manifest.output.channels) == 3
    assert manifest.output.activation == Output.ACTIVATION_SOFTMAX
    assert manifest.steps_per_second == 10.0
    (state,) = manifest.states
    assert (state.input_tensor, state.output_tensor) == ("state", "next_state")
    assert (list(state.shape), state.dtype, state.batch_axis) == ([12], "float32", 0)
    assert state.initial_value == b""


def test_it_says_where_the_model_comes_from(model: TrainedModel, quick: ProofSettings) -> None:
    provenance = make_artifact(model, settings=quick)[0].manifest.provenance

    assert (provenance.data_digest, provenance.config) == ("sha256:abc", "seed = 7\n")
    assert dict(provenance.metrics) == {"accuracy_percent": 97.5}
    assert set(provenance.versions) == {"torch", "onnx", "onnxruntime", "statewise"}
    assert provenance.created.endswith("+00:00")


@pytest.mark.parametrize(
    ("options", "form", "activation"),
    [
        ({"reset_after": True}, Cell.FORM_GRU_RESET_AFTER, Output.ACTIVATION_SOFTMAX),
        ({"activation": "sigmoid"}, Cell.FORM_GRU_RESET_BEFORE, Output.ACTIVATION_SIGMOID),
        ({"activation": "identity"}, Cell.FORM_GRU_RESET_BEFORE, Output.ACTIVATION_IDENTITY),
    ],
)
def test_it_names_cell_and_activation(
    options: dict[str, object], form: int, activation: int, make: Callable[..., Artifact]
) -> None:
    manifest = make(**options).manifest

    assert (manifest.cell.form, manifest.output.activation) == (form, activation)


def test_it_carries_the_report_of_its_proof(quick: ProofSettings) -> None:
    artifact, proof = make_artifact(random_model(random_network(4, 6, 1, 3)), settings=quick)

    assert tuple(artifact.manifest.validation.comparisons) == proof.comparisons
    assert len(proof.comparisons) == 8


def test_golden_vectors_are_the_reference_s_answers(make: Callable[..., Artifact]) -> None:
    network = random_network(4, 6, 2, 3, activation="identity")
    network.input_mean[:] = 50
    manifest = make(network=network).manifest

    case, golden = read_golden(manifest.golden, sizes_of(manifest))

    assert case.inputs.shape == (STEPS, BATCH, 4)
    assert (STEPS, BATCH) == (64, 3)
    assert case.inputs.mean() == pytest.approx(50, abs=1)
    assert np.abs(case.state).mean() == pytest.approx(0.5, abs=0.2)
    expected = answer(network, case)
    assert np.array_equal(golden.outputs, expected.outputs)
    assert np.array_equal(golden.final_state, expected.final_state)
    assert 1e-5 <= manifest.golden.tolerance < 1e-3


def test_names_that_do_not_fit_the_network_are_refused(
    model: TrainedModel, quick: ProofSettings
) -> None:
    with pytest.raises(RunError, match="features: 3 names for a network of 4"):
        make_artifact(replace(model, features=model.features[:3]), settings=quick)
    with pytest.raises(RunError, match="outputs: 4 names for a network of 3"):
        make_artifact(replace(model, outputs=(*model.outputs, Channel("x"))), settings=quick)


@pytest.mark.parametrize(
    ("part", "field"), [("input", "input.tensor"), ("output", "output.tensor")]
)
def test_a_tensor_that_the_graph_does_not_have_is_named(
    model: TrainedModel, quick: ProofSettings, part: str, field: str
) -> None:
    artifact = make_artifact(model, settings=quick)[0]
    check_tensor_names(artifact.manifest, artifact.model)
    getattr(artifact.manifest, part).tensor = "foo"
    with pytest.raises(ArtifactError, match=f"{field} is 'foo', and the graph has"):
        check_tensor_names(artifact.manifest, artifact.model)


def test_a_state_that_the_graph_does_not_have_is_named(
    model: TrainedModel, quick: ProofSettings
) -> None:
    artifact = make_artifact(model, settings=quick)[0]
    artifact.manifest.states[0].output_tensor = "foo"
    with pytest.raises(ArtifactError, match=r"states\.output_tensor is 'foo'"):
        check_tensor_names(artifact.manifest, artifact.model)
