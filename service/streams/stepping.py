"""From a stream's inputs to the packed rows of its steps.

Owns how many steps a request has, and how controls are filled in: START with the first step of a
stream, END with its last where that is known beforehand, READY with every step, since a row of a
call always stands for a live stream, and CORRID with the sequence's number. Knows nothing of
transports.
"""

from collections.abc import Sequence

from service.models.served import ServedModel
from service.tensors import Array, ControlKind


def steps_of(model: ServedModel, values: Sequence[Array]) -> int:
    """Steps of a request's inputs, whose first axis is rows."""
    if model.signature.whole:
        timed = zip(model.signature.inputs, values, strict=True)
        return int(next(value.shape[1] for tensor, value in timed if tensor.timed))
    return len(values[0])


def packed(
    model: ServedModel, values: Sequence[Array], number: int, *, first: bool, last: bool = False
) -> Array:
    """Packed rows of some steps, (steps, input width); whole chunks take one row.

    Args:
        model: computes them.
        values: of each of its inputs, (steps, *shape); of whole chunks (rows, *shape of so many).
        number: of the sequence.
        first: whether the first of these steps is the first of the stream.
        last: whether the last of these steps is the last of the stream.
    """
    signature, layout = model.signature, model.input_layout
    if signature.whole:
        signature = signature.at(steps_of(model, values))
        layout = signature.input_layout()
    if not signature.controls:
        return layout.pack(values)
    rows = layout.rows(len(values[0]))
    for index, value in enumerate(values):
        layout.view(rows, index)[...] = value.reshape(len(rows), *layout.tensors[index].shape)
    for index, control in enumerate(signature.controls, start=len(values)):
        column = layout.view(rows, index)
        if control.kind is ControlKind.CORRID:
            column[...] = number
            continue
        column[...] = control.on if control.kind is ControlKind.READY else control.off
        if control.kind is ControlKind.START and first:
            column.flat[0] = control.on
        if control.kind is ControlKind.END and last:
            column.flat[-1] = control.on
    return rows
