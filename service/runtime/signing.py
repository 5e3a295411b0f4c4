"""What an artefact's model takes and gives, from whatever declares it.

Owns the choice: our manifest, a config.pbtxt, or the graph alone where it keeps no state.
"""

from typing import Any

from protos.inference.model_config_pb2 import ModelConfig
from service.artifacts.artifact import Artifact
from service.artifacts.inspection import propose
from service.artifacts.resolution import plain, resolve
from service.errors import ArtifactError
from service.runtime.sessions import graph_of
from service.tensors import Signature


def signature_of(artifact: Artifact, session: Any) -> Signature:
    """The signature of a session's model.

    Raises:
        ArtifactError: what is declared is not what the graph says, or nothing is declared of a
            model that looks as if it kept state.
    """
    if artifact.signature is not None:
        _check_graph(artifact, artifact.signature, session)
        return artifact.signature
    try:
        graph = graph_of(session)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error.message}") from None
    config = artifact.config
    if config is None:
        proposal = propose(graph)
        if proposal.states:
            raise ArtifactError(
                f"{artifact.path}: looks as if it keeps state ({', '.join(proposal.states)}) and "
                f"has no config.pbtxt; run `python -m service inspect {artifact.path}`"
            )
        config = plain(graph)
    elif not config.HasField("sequence_batching") and not config.max_batch_size:
        config = _with_batching(config, plain(graph))
    return resolve(graph, config, artifact.path.parent.parent)


def _with_batching(config: ModelConfig, found: ModelConfig) -> ModelConfig:
    """A config that lists no tensors leaves the batch to the graph, as Triton completes it."""
    if config.input or config.output:
        return config
    completed = ModelConfig()
    completed.CopyFrom(config)
    completed.max_batch_size = found.max_batch_size
    return completed


def _check_graph(artifact: Artifact, signature: Signature, session: Any) -> None:
    """Compares every tensor that the manifest names with the graph's, and the reverse."""
    declared = {
        "inputs": [
            *((one.name, one.size) for one in signature.inputs),
            *((state.tensor.name, state.tensor.size) for state in signature.states),
        ],
        "outputs": [
            *((one.name, one.size) for one in signature.outputs),
            *((state.output, state.tensor.size) for state in signature.states),
        ],
    }
    actual = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    for side, tensors in declared.items():
        wanted = {(name, "tensor(float)", width) for name, width in tensors}
        found = {(node.name, node.type, _row_width(node.shape)) for node in actual[side]}
        if wanted != found:
            raise ArtifactError(
                f"{artifact.path}: the manifest does not match its graph: {side} are "
                f"{_describe(found)}, the manifest says {_describe(wanted)}; export the model again"
            )


def _row_width(shape: list[Any]) -> object:
    """Width of a [batch, width] tensor with a free batch; the shape itself of any other."""
    free_batch = len(shape) == 2 and not isinstance(shape[0], int)
    return shape[1] if free_batch else str(shape)


def _describe(tensors: set[tuple[str, str, Any]]) -> str:
    return ", ".join(
        f"{name} {kind.removeprefix('tensor(').rstrip(')')}[batch, {width}]"
        for name, kind, width in sorted(tensors, key=str)
    )
