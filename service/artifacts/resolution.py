"""What a graph by others takes and gives, from its config.pbtxt and the graph itself.

Owns the comparison of the two: every contradiction is refused with the field, both sides and the
remedy, so that nothing is found out by the first caller.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from protos.inference.model_config_pb2 import ModelConfig
from service.artifacts.config import CONFIG_FILE
from service.artifacts.declared import Declared
from service.artifacts.graph import Contradiction, Graph, find, fits, same_dtype
from service.errors import ArtifactError
from service.tensors import Array, Signature, Tensor

# A length at which an output that goes with time shows it.
_SOME_STEPS = 3


def resolve(graph: Graph, config: ModelConfig, folder: Path) -> Signature:
    """The signature that a config declares, once it agrees with the graph.

    Args:
        graph: what ONNX Runtime says of the model.
        config: of its folder; an empty one for a model without state whose batch axis is free.
        folder: of the model, where initial states lie.

    Raises:
        ArtifactError: names the field that contradicts the graph.
    """
    try:
        return _Resolution(graph, config, folder).signature()
    except Contradiction as fault:
        raise ArtifactError(f"{folder / CONFIG_FILE}: {fault}") from None


class _Resolution:
    """One config against one graph."""

    def __init__(self, graph: Graph, config: ModelConfig, folder: Path) -> None:
        self._graph = graph
        self._config = config
        self._declared = Declared(graph, config, folder)
        self._batched = self._declared.batched

    def signature(self) -> Signature:
        states, controls = self._declared.states(), self._declared.controls()
        constants = self._declared.constants()
        taken = {*constants, *(state.tensor.name for state in states)}
        taken |= {control.tensor.name for control in controls}
        inputs = tuple(self._inputs(taken))
        found = Signature(
            inputs=inputs,
            outputs=(),
            states=states,
            controls=controls,
            constants=constants,
            batched=self._batched,
            time_axis=self._declared.time_axis,
            whole=any(one.timed for one in inputs),
        )
        if found.time_axis and all(one.shape[:1] != (1,) for one in inputs):
            raise Contradiction(
                "parameter time_axis is step, but no input has a free axis for it; give chunk, and "
                "requests have the graph's own length"
            )
        step = self._probe(found)
        outputs = tuple(self._outputs({state.output for state in states}, step))
        if found.whole:
            chunk = self._probe(found.at(_SOME_STEPS))
            outputs = tuple(_timed(one, chunk[one.name].shape) for one in outputs)
        return replace(found, outputs=outputs)

    def _inputs(self, taken: set[str]) -> Iterable[Tensor]:
        listed = {one.name: one for one in self._config.input}
        for name in listed:
            find(self._graph.inputs, f"input {name!r}", "name", name)
        for name, node in self._graph.inputs.items():
            if name in taken:
                continue
            if listed and name not in listed:
                raise Contradiction(
                    f"the graph's input {name!r} stands nowhere; list it under input, as a "
                    f"state's input_name, or give the parameter constant_input.{name}"
                )
            dims: tuple[int, ...] | None = None
            if name in listed:
                same_dtype(f"input {name!r}", listed[name].data_type, node)
                dims = tuple(listed[name].reshape.shape or listed[name].dims)
            yield self._declared.row(f"input {name!r}", node, dims)

    def _outputs(self, given: set[str], found: Mapping[str, Array]) -> Iterable[Tensor]:
        listed = {one.name: one for one in self._config.output}
        for name, declared in listed.items():
            node = find(self._graph.outputs, f"output {name!r}", "name", name)
            same_dtype(f"output {name!r}", declared.data_type, node)
        names = list(listed) or [name for name in self._graph.outputs if name not in given]
        if not names:
            raise Contradiction("no output is left for callers beside the states")
        for name in names:
            actual = found[name]
            shape = actual.shape
            if self._batched:
                if not shape or shape[0] != 1:
                    raise Contradiction(
                        f"output {name!r} has shape {list(shape)} for one stream: its first axis "
                        "is no batch axis; set max_batch_size: 0"
                    )
                shape = shape[1:]
            dims = tuple(listed[name].reshape.shape or listed[name].dims) if listed else shape
            if not fits(shape, dims):
                raise Contradiction(
                    f"output {name!r}: dims are {list(dims)}, the graph gives {list(shape)}"
                )
            yield Tensor(name, actual.dtype, shape, 0 if self._batched else None)

    def _probe(self, taken: Signature) -> Mapping[str, Array]:
        """One call of one stream: what shapes come out, declared or not."""
        tensors = [*taken.input_layout().tensors, *taken.state_layout().tensors]
        feeds = {one.name: np.zeros(one.of_rows(1), one.dtype) for one in tensors}
        feeds |= taken.constants
        try:
            found = self._graph.run(feeds)
        except ArtifactError as error:
            raise Contradiction(f"a step of one stream fails: {error.message}") from None
        for state in taken.states:
            shape, wanted = found[state.output].shape, state.tensor.of_rows(1)
            if shape != wanted:
                raise Contradiction(
                    f"state {state.tensor.name!r} has shape {list(wanted)} for one stream, its "
                    f"output {state.output!r} {list(shape)}; they have to agree"
                )
        return found


def _timed(output: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The output with its time, if it is as long as the chunk, of which `shape` is an answer."""
    if output.of_rows(1) == shape:
        return output
    timed = replace(output, timed=True)
    if output.shape[:1] != (1,) or timed.at(_SOME_STEPS).of_rows(1) != shape:
        raise Contradiction(
            f"output {output.name!r} has shape {list(output.of_rows(1))} for one step and "
            f"{list(shape)} for {_SOME_STEPS}; served are outputs with one answer a step, or with "
            "one a chunk"
        )
    return timed


def plain(graph: Graph) -> ModelConfig:
    """The config of a model without one: no state, batched where every first axis is free."""
    free = all(one.shape and one.shape[0] is None for one in graph.inputs.values())
    return ModelConfig(max_batch_size=1_024 if free and graph.inputs else 0)
