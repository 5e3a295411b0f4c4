"""All that a stream has to remember, outside of its row, and whether it fits a model.

Owns the step from a packed row to named tensors and back, and the checks on the way back: a state
of another model, of another shape or dtype is refused by name. Knows nothing of bytes or stores.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from service.artifacts.artifact import Artifact
from service.errors import InvalidArgument, shorten
from service.models.selftest import SelfTest
from service.tensors import Array, Layout, Tensor


class Stateful(Protocol):
    """What a snapshot needs of a model; batch scoring has one that nobody serves."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def version(self) -> int:
        """Which of its versions it is."""

    @property
    def artifact(self) -> Artifact:
        """Its file, for the digest."""

    @property
    def self_test(self) -> SelfTest:
        """Its proof here, for the fingerprint."""

    @property
    def state_layout(self) -> Layout:
        """How its states stand in a row."""


class NamedState(NamedTuple):
    """One state tensor of one stream: the name of the graph's input, and its numbers."""

    name: str
    values: Array


@dataclass(frozen=True)
class Snapshot:
    """The state of one stream after some steps.

    Attributes:
        digest: content digest of the model whose state it is.
        fingerprint: numeric fingerprint of the server that computed the last step.
        steps: taken so far.
    """

    model: str
    version: str
    digest: str
    fingerprint: str
    states: tuple[NamedState, ...]
    steps: int


def take(model: Stateful, row: Array, steps: int) -> Snapshot:
    """The snapshot of a packed row, (state width,), which is copied."""
    layout, block = model.state_layout, row[np.newaxis].copy()
    return Snapshot(
        model=model.name,
        version=str(model.version),
        digest=model.artifact.digest,
        fingerprint=model.self_test.fingerprint,
        states=tuple(
            NamedState(tensor.name, layout.view(block, index)[0])
            for index, tensor in enumerate(layout.tensors)
        ),
        steps=steps,
    )


def packed_row(snapshot: Snapshot, model: Stateful) -> Array:
    """A snapshot as the model's packed row, (state width,).

    Raises:
        InvalidArgument: with reason STATE_MODEL, STATE_NAMES, STATE_SHAPE, STATE_DTYPE or
            STATE_NOT_FINITE.
    """
    _check_model(snapshot, model)
    given = {state.name: state.values for state in snapshot.states}
    tensors = model.state_layout.tensors
    if set(given) != {tensor.name for tensor in tensors} or len(given) != len(snapshot.states):
        names = shorten(", ".join(state.name for state in snapshot.states) or "nothing")
        raise InvalidArgument(
            f"the state holds {names}; model {model.name} keeps "
            f"{', '.join(tensor.name for tensor in tensors)}",
            reason="STATE_NAMES",
        )
    for tensor in tensors:
        _check_tensor(given[tensor.name], tensor, model)
    packed: Array = model.state_layout.pack([given[tensor.name][np.newaxis] for tensor in tensors])
    return packed.reshape(-1)


def _check_model(snapshot: Snapshot, model: Stateful) -> None:
    """Whether the model's weights made the state."""
    if snapshot.digest == model.artifact.digest:
        return
    name, digest = shorten(snapshot.model), shorten(snapshot.digest)
    raise InvalidArgument(
        f"the state is of model {name} with content {digest}; {model.name}/{model.version} here "
        f"has {model.artifact.digest}: a state goes on with the weights that made it",
        reason="STATE_MODEL",
        model=name,
        content_digest=digest,
    )


def _check_tensor(values: Array, tensor: Tensor, model: Stateful) -> None:
    """Whether one state is what the model keeps under its name."""
    if values.shape != tensor.shape:
        raise InvalidArgument(
            f"state {tensor.name} has shape {list(values.shape)}; model {model.name} keeps "
            f"{list(tensor.shape)}",
            reason="STATE_SHAPE",
            state=tensor.name,
        )
    if values.dtype != tensor.dtype:
        raise InvalidArgument(
            f"state {tensor.name} is {values.dtype}; model {model.name} keeps {tensor.dtype}",
            reason="STATE_DTYPE",
            state=tensor.name,
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidArgument(
            f"state {tensor.name} holds numbers that are not finite",
            reason="STATE_NOT_FINITE",
            state=tensor.name,
        )
