"""What an artefact says about itself: the manifest of a fitted network.

Owns the translation between a trained model and protos/statewise/v1/manifest.proto. Knows nothing
of files, graphs and engines.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import onnx

from export import tensors
from export.errors import ArtifactError, RunError
from protos.plausible import check_plausible
from protos.statewise.v1.manifest_pb2 import (
    Cell,
    GoldenVectors,
    Input,
    Manifest,
    Output,
    Provenance,
    State,
)
from protos.statewise.v1.manifest_pb2 import Channel as ChannelMessage
from training.reference import Activation, Network
from training.trained import Channel, TrainedModel

FORMAT_VERSION = 1

_ACTIVATIONS: Mapping[Activation, "Output.Activation.ValueType"] = {
    "identity": Output.ACTIVATION_IDENTITY,
    "softmax": Output.ACTIVATION_SOFTMAX,
    "sigmoid": Output.ACTIVATION_SIGMOID,
}


def describe(
    model: TrainedModel,
    digest: str,
    golden: GoldenVectors,
    versions: Mapping[str, str],
    precision: "Cell.Precision.ValueType" = Cell.PRECISION_FLOAT32,
) -> Manifest:
    """The manifest of a model, its validation report still empty.

    Args:
        model: the fitted network and where it came from.
        digest: content digest of the graph.
        golden: golden vectors of the network.
        versions: of the libraries that export, by name.
        precision: of the products with states.

    Raises:
        RunError: the number of channel names is not that of the inputs or outputs.
    """
    network = model.network
    _check_names("features", model.features, network.features)
    _check_names("outputs", model.outputs, network.outputs)
    return Manifest(
        format_version=FORMAT_VERSION,
        name=model.name,
        content_digest=digest,
        cell=_cell(network, precision),
        input=Input(tensor=tensors.INPUT, channels=_channels(model.features)),
        output=Output(
            tensor=tensors.OUTPUT,
            channels=_channels(model.outputs),
            activation=_ACTIVATIONS[network.activation],
        ),
        states=[_state(tensors.Sizes.of(network).state)],
        steps_per_second=model.steps_per_second,
        golden=golden,
        provenance=Provenance(
            data_digest=model.data_digest,
            config=model.config,
            metrics=model.metrics,
            versions={**model.versions, **versions},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )


def sizes_of(manifest: Manifest) -> tensors.Sizes:
    """The sizes that a manifest promises.

    Raises:
        ArtifactError: the states are not the one that the cell makes.
    """
    cell = manifest.cell
    wanted = _state(cell.layers * cell.hidden)
    if list(manifest.states) != [wanted]:
        raise ArtifactError(
            f"manifest.states is not the one state of {cell.layers} x {cell.hidden} numbers that "
            "manifest.cell makes; export the model again"
        )
    return tensors.Sizes(
        len(manifest.input.channels), cell.layers * cell.hidden, len(manifest.output.channels)
    )


def activation_of(manifest: Manifest) -> Activation:
    """The head's activation.

    Raises:
        ArtifactError: the manifest names none.
    """
    for activation, value in _ACTIVATIONS.items():
        if value == manifest.output.activation:
            return activation
    raise ArtifactError("manifest.output.activation is missing; export the model again")


def check_values(manifest: Manifest) -> None:
    """Looks at every field that has a meaning of its own, as the server does.

    Raises:
        ArtifactError: names the first that can't be right.
    """
    try:
        check_plausible(manifest)
    except ValueError as error:
        raise ArtifactError(f"manifest: {error}; export the model again") from None


def check_tensor_names(manifest: Manifest, model: onnx.ModelProto) -> None:
    """Compares the tensors that a manifest names with the graph's.

    Raises:
        ArtifactError: names the first field whose tensor the graph does not have.
    """
    inputs = [info.name for info in model.graph.input]
    outputs = [info.name for info in model.graph.output]
    named = [("input.tensor", manifest.input.tensor, inputs)]
    named.append(("output.tensor", manifest.output.tensor, outputs))
    for state in manifest.states:
        named.append(("states.input_tensor", state.input_tensor, inputs))
        named.append(("states.output_tensor", state.output_tensor, outputs))
    for field, tensor, found in named:
        if tensor not in found:
            raise ArtifactError(
                f"the manifest does not match its graph: {field} is {tensor!r}, and the graph has "
                f"{', '.join(found)}; export the model again"
            )


def check_precision(manifest: Manifest, precision: "Cell.Precision.ValueType") -> None:
    """Compares the precision that a manifest names with the graph's.

    Raises:
        ArtifactError: they differ.
    """
    if manifest.cell.precision != precision:
        named, found = map(Cell.Precision.Name, (manifest.cell.precision, precision))
        raise ArtifactError(
            f"manifest.cell.precision is {named}, and the graph computes as {found}; export the "
            "model again"
        )


def is_reset_after(cell: Cell) -> bool:
    """Which of the two cell forms it is.

    Raises:
        ArtifactError: the manifest names none.
    """
    if cell.form == Cell.FORM_UNSPECIFIED:
        raise ArtifactError("manifest.cell.form is missing; export the model again")
    return cell.form == Cell.FORM_GRU_RESET_AFTER


def _check_names(field: str, channels: Sequence[Channel], width: int) -> None:
    if len(channels) != width:
        raise RunError(
            f"{field}: {len(channels)} names for a network of {width}; train the model again"
        )


def _cell(network: Network, precision: "Cell.Precision.ValueType") -> Cell:
    return Cell(
        form=Cell.FORM_GRU_RESET_AFTER if network.reset_after else Cell.FORM_GRU_RESET_BEFORE,
        layers=len(network.layers),
        hidden=network.hidden,
        bias=network.bias,
        precision=precision,
    )


def _state(size: int) -> State:
    return State(
        input_tensor=tensors.STATE,
        output_tensor=tensors.NEXT_STATE,
        shape=[size],
        dtype="float32",
        batch_axis=0,
    )


def _channels(channels: Sequence[Channel]) -> list[ChannelMessage]:
    return [ChannelMessage(name=channel.name, unit=channel.unit) for channel in channels]
