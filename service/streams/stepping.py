"""From a stream's inputs to the packed rows of its steps.

Owns how many steps a request has, and how controls are filled in: START with the first step of a
stream, END with its last where that is known beforehand, READY with every step, since a row of a
call always stands for a live stream, and CORRID with the sequence's number. Knows nothing of
transports.
"""

from collections.abc import Sequence

import numpy as np

from service.errors import InvalidArgument
from service.models.served import ServedModel
from service.tensors import Array, ControlKind, wire_name


def steps_of(model: ServedModel, values: Sequence[Array]) -> int:
    """Steps of a request's inputs, whose first axis is rows."""
    if model.signature.whole:
        timed = zip(model.signature.inputs, values, strict=True)
        return int(next(value.shape[1] for tensor, value in timed if tensor.timed))
    return len(values[0])


def check_number(model: ServedModel, number: int) -> None:
    """Refuses a sequence's number that the model can't be told.

    Raises:
        InvalidArgument: with reason SEQUENCE_ID_RANGE.
    """
    for control in model.signature.controls:
        if control.kind is not ControlKind.CORRID:
            continue
        dtype = control.tensor.dtype
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not least <= number <= most:
            raise InvalidArgument(
                f"sequence_id is {number}; model {model.name} is told it as {wire_name(dtype)}: "
                f"take one of {least} to {most}, or a text",
                reason="SEQUENCE_ID_RANGE",
                sequence_id=number,
                datatype=wire_name(dtype),
            )


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
            # A caller's number fits; the server's own begin again where the type ends.
            column[...] = number if number < 0 else number & int(np.iinfo(column.dtype).max)
            continue
        column[...] = control.on if control.kind is ControlKind.READY else control.off
        if control.kind is ControlKind.START and first:
            column.flat[0] = control.on
        if control.kind is ControlKind.END and last:
            column.flat[-1] = control.on
    return rows
