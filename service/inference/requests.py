"""A request of the Open Inference Protocol, as any transport may bring it, and its checks.

Owns what is refused: inputs that are missing, unknown or twice there, dtypes, shapes, lengths,
numbers that are none; each with the input's name and what the model takes. Knows nothing of gRPC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.callers.access import EVERYBODY, Identity
from service.errors import InvalidArgument, ServiceError, shorten
from service.models.description import dims
from service.models.served import ServedModel
from service.tensors import Array, Tensor, wire_name

# A sequence's name: Triton's clients take numbers or texts; both may be in use, and never meet.
SequenceId = int | str


class Input(NamedTuple):
    """A tensor as a caller sent it: little-endian, row-major."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(slots=True)
class Request:
    """One request.

    Attributes:
        version: "" for the newest, or for the one that the sequence runs on.
        sequence: None for a model without state.
        outputs: names of those that are wanted; () for all.
        caller: whose sequence it is: another's of the same name is another one.
    """

    model: str
    version: str
    inputs: Sequence[Input]
    sequence: SequenceId | None = None
    start: bool = False
    end: bool = False
    outputs: tuple[str, ...] = ()
    caller: Identity = EVERYBODY


class Answer(NamedTuple):
    """What came out: the model that computed it, and each output in the graph's shape."""

    model: ServedModel
    outputs: list[tuple[Tensor, tuple[int, ...], bytes]]


# Called once with what came of a request.
Done = Callable[[Answer | ServiceError], None]


def decode(model: ServedModel, inputs: Sequence[Input]) -> list[Array]:
    """Each input's numbers, (steps or rows, *shape), in the order of the model.

    Where a chunk is one call, (rows, *shape of so many steps).

    Raises:
        InvalidArgument: with reason INPUT_MISSING, INPUT_UNKNOWN, DTYPE, SHAPE, BYTE_LENGTH,
            BATCH_SIZE or NON_FINITE_INPUT.
    """
    wanted = model.signature.inputs
    if len(wanted) == len(inputs) == 1 and inputs[0].name == wanted[0].name:
        return [_decoded(model, wanted[0], inputs[0])]
    given = {one.name: one for one in inputs}
    for name in given:
        if all(name != tensor.name for tensor in wanted):
            raise InvalidArgument(
                f"input {shorten(name)!r} is none of model {model.name}, which takes "
                f"{', '.join(tensor.name for tensor in wanted)}",
                reason="INPUT_UNKNOWN",
                input=shorten(name),
            )
    missing = [tensor.name for tensor in wanted if tensor.name not in given]
    if missing or len(inputs) != len(given):
        raise InvalidArgument(
            f"inputs are {shorten(', '.join(one.name for one in inputs)) or 'none'}; model "
            f"{model.name} takes {', '.join(tensor.name for tensor in wanted)}, each once",
            reason="INPUT_MISSING",
        )
    values = [_decoded(model, tensor, given[tensor.name]) for tensor in wanted]
    if len({len(value) for value in values}) > 1:
        raise InvalidArgument(
            "inputs have different batch sizes: "
            + ", ".join(f"{name} {list(one.shape)}" for name, one in given.items()),
            reason="BATCH_SIZE",
        )
    timed = [value for tensor, value in zip(wanted, values, strict=True) if tensor.timed]
    if len({value.shape[1] for value in timed}) > 1:
        raise InvalidArgument(
            "inputs have different numbers of steps: "
            + ", ".join(f"{name} {list(one.shape)}" for name, one in given.items()),
            reason="SHAPE",
        )
    return values


def _decoded(model: ServedModel, tensor: Tensor, given: Input) -> Array:
    if given.datatype != wire_name(tensor.dtype):
        raise InvalidArgument(
            f"input {given.name!r} is {shorten(given.datatype)}; model {model.name} takes "
            f"{wire_name(tensor.dtype)}",
            reason="DTYPE",
            datatype=shorten(given.datatype),
        )
    tensor, rows = _fitted(model, tensor, given)
    if len(given.data) != rows * tensor.nbytes:
        raise InvalidArgument(
            f"input {given.name!r} has {len(given.data)} bytes; shape {list(given.shape)} of "
            f"{given.datatype} is {rows * tensor.nbytes}",
            reason="BYTE_LENGTH",
        )
    values = np.frombuffer(given.data, tensor.dtype)
    if tensor.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidArgument(
            f"input {given.name!r} holds {values[~np.isfinite(values)][0]}; send finite numbers",
            reason="NON_FINITE_INPUT",
        )
    return values.reshape(rows, *tensor.shape)


def _fitted(model: ServedModel, tensor: Tensor, given: Input) -> tuple[Tensor, int]:
    """The tensor of as many steps as were given; steps or batch rows of an input that fits."""
    shape, signature = given.shape, model.signature
    rest = shape
    if signature.batched:
        rest = shape[1:]
        if signature.states and shape[:1] != (1,):
            raise InvalidArgument(
                f"input {given.name!r} has shape {_said(shape)}: a sequence's batch is 1; give "
                "each stream a sequence of its own",
                reason="BATCH_SIZE",
            )
    rows = shape[0] if signature.batched and shape else 1
    fits, most = rest == tensor.shape, model.max_chunk_steps
    if tensor.timed and rest and 1 <= rest[0] <= most:
        tensor = tensor.at(rest[0])
        fits = rest == tensor.shape
    if signature.time_axis and not fits and len(rest) == len(tensor.shape):
        fits = rest[1:] == tensor.shape[1:] and 1 <= rest[0] <= most
        rows = rest[0]
    if not fits or rows < 1:
        batch = [1 if signature.states else -1] if signature.batched else []
        raise InvalidArgument(
            f"input {given.name!r} has shape {_said(shape)}; model {model.name} takes "
            f"{[*batch, *dims(model, tensor)]}"
            + (f", {most} steps at most" if tensor.timed or signature.time_axis else ""),
            reason="SHAPE",
            shape=_said(shape),
        )
    return tensor, rows


def _said(shape: tuple[int, ...]) -> str:
    return shorten(str(list(shape)))


def encode(model: ServedModel, rows: Array, wanted: tuple[str, ...], steps: int) -> Answer:
    """The outputs that were asked for, of packed rows (steps or rows, output width).

    Where a chunk is one call, a row has the outputs of all its `steps`.
    """
    signature, layout = model.signature, model.output_layout
    if signature.whole:
        signature = signature.at(steps)
        layout = signature.output_layout()
    found = []
    for index, tensor in enumerate(signature.outputs):
        if wanted and tensor.name not in wanted:
            continue
        shape = tensor.shape
        if signature.time_axis and len(rows) > 1 and shape[:1] == (1,):
            shape = (len(rows), *shape[1:])
            shape = (1, *shape) if signature.batched else shape
        elif signature.batched:
            shape = (len(rows), *shape)
        found.append((tensor, shape, layout.view(rows, index).tobytes()))
    return Answer(model, found)


def check_outputs(model: ServedModel, wanted: tuple[str, ...]) -> None:
    """Refuses an output that the model has not.

    Raises:
        InvalidArgument: with reason OUTPUT_UNKNOWN.
    """
    names = [tensor.name for tensor in model.signature.outputs]
    for name in wanted:
        if name not in names:
            raise InvalidArgument(
                f"output {shorten(name)!r} is none of model {model.name}, which gives "
                f"{', '.join(names)}",
                reason="OUTPUT_UNKNOWN",
                output=shorten(name),
            )
