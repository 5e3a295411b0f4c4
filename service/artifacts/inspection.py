"""A proposal of config.pbtxt for a model by others: which tensors carry its state.

Owns the guess, from names, dtypes and shapes; a person reviews it, and the server checks it against
the graph all the same. Knows nothing of files.
"""

import difflib
import re
from dataclasses import dataclass, field

from protos.inference.model_config_pb2 import (
    DataType,
    ModelConfig,
    ModelInput,
    ModelOutput,
    ModelParameter,
    ModelSequenceBatching,
)
from service.artifacts.graph import Graph, Node
from service.tensors import wire_name

# Words in the names of states, as exporters choose them.
_STATE_WORDS = re.compile(
    r"state|hidden|cell|cache|mem|past|ctx|context|(^|_)[hc](_?(n|t|0|in|out|prev|next))?\d*$",
    re.IGNORECASE,
)
_ALIKE = 0.4
_BATCH = 1_024


@dataclass
class Proposal:
    """A config, and what a person should look at.

    Attributes:
        states: names of the inputs that look like states.
        notes: one line each.
    """

    config: ModelConfig
    states: list[str]
    notes: list[str] = field(default_factory=list)


def propose(graph: Graph) -> Proposal:
    """Pairs inputs with outputs that could be the same state, and lists the rest."""
    pairs = _pairs(graph)
    constants = [one for one in graph.inputs.values() if not one.shape and one.name not in pairs]
    streamed = [
        one for one in graph.inputs.values() if one.name not in pairs and one not in constants
    ]
    batched = bool(streamed) and all(one.shape[0] is None for one in streamed)
    batched = batched and all(None in graph.inputs[name].shape for name in pairs)
    config = ModelConfig(backend="onnxruntime", max_batch_size=_BATCH if batched else 0)
    proposal = Proposal(config, list(pairs))
    for one in streamed:
        config.input.append(
            ModelInput(name=one.name, data_type=_type(one), dims=_dims(one, 0 if batched else None))
        )
    for one in graph.outputs.values():
        if one.name not in pairs.values() and one.shape:
            axis = 0 if batched else None
            dims = _dims(one, axis)
            config.output.append(ModelOutput(name=one.name, data_type=_type(one), dims=dims))
    for name, output in pairs.items():
        config.sequence_batching.state.append(_state(graph.inputs[name], output, batched))
    for one in constants:
        config.parameters[f"constant_input.{one.name}"].CopyFrom(ModelParameter(string_value="0"))
        proposal.notes.append(f"input {one.name!r} is a single number: give it its value")
    _note(proposal, batched)
    return proposal


def _note(proposal: Proposal, batched: bool) -> None:
    config = proposal.config
    if not proposal.states:
        proposal.notes.append("no input looks like a state: served without one")
    for one in config.input:
        if any(size == -1 for size in one.dims):
            proposal.notes.append(f"input {one.name!r} has a free axis: give its size in dims")
    if not batched:
        proposal.notes.append("the graph's batch axis is not free: served one stream at a time")


def _pairs(graph: Graph) -> dict[str, str]:
    """State inputs and their outputs: the most alike names first."""
    candidates = sorted(
        (
            (_alike(one, other), one.name, other.name)
            for one in graph.inputs.values()
            for other in graph.outputs.values()
            if _could_be_one(one, other)
        ),
        reverse=True,
    )
    pairs: dict[str, str] = {}
    for score, one, other in candidates:
        if score >= _ALIKE and one not in pairs and other not in pairs.values():
            pairs[one] = other
    return {name: pairs[name] for name in graph.inputs if name in pairs}


def _could_be_one(one: Node, other: Node) -> bool:
    if one.dtype != other.dtype or not one.shape or not _STATE_WORDS.search(one.name):
        return False
    # An output without a declared shape may have any.
    return not other.shape or (
        len(one.shape) == len(other.shape)
        and all(
            None in (left, right) or left == right
            for left, right in zip(one.shape, other.shape, strict=True)
        )
    )


def _alike(one: Node, other: Node) -> float:
    likeness = difflib.SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()
    return likeness + (0.5 if _STATE_WORDS.search(other.name) else 0.0)


def _state(one: Node, output: str, batched: bool) -> ModelSequenceBatching.State:
    axis = one.shape.index(None) if batched else None
    return ModelSequenceBatching.State(
        input_name=one.name, output_name=output, data_type=_type(one), dims=_dims(one, axis)
    )


def _dims(one: Node, batch_axis: int | None) -> list[int]:
    return [
        -1 if size is None else size for axis, size in enumerate(one.shape) if axis != batch_axis
    ]


def _type(one: Node) -> DataType.ValueType:
    return DataType.Value(f"TYPE_{wire_name(one.dtype)}")
