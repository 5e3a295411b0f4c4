"""Requests to models without state: each row of a batch is a step of its own.

Owns their way to the tick and back, and the counting of any request's steps against its caller's
rate. Knows nothing of sequences.
"""

import numpy as np

from service.errors import RateExceeded
from service.inference.requests import Done, Request, check_outputs, decode, encode
from service.inference.under_way import told
from service.models.served import ServedModel
from service.streams.stepping import packed, steps_of
from service.tensors import Array
from service.tick.ready import Ready, Whole


def spend(request: Request, model: ServedModel, steps: int) -> None:
    """Counts a request's steps; before anything is touched, so that it can be sent again.

    Raises:
        RateExceeded: its caller takes too many a second.
    """
    try:
        request.caller.spend(steps)
    except RateExceeded as error:
        model.metrics.refused(error.reason)
        raise


def infer_alone(model: ServedModel, request: Request, done: Done) -> None:
    """Takes a request; `done` is called once with the answer or the error.

    Raises:
        InvalidArgument, RateExceeded: it is refused; `done` is not called.
    """
    check_outputs(model, request.outputs)
    values = decode(model, request.inputs)
    steps = steps_of(model, values)
    spend(request, model, steps)
    rows = packed(model, values, 0, first=True, last=True)
    left = len(rows)
    parts: list[Ready] = []

    def land(ready: Ready) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        failed = next((part.error for part in parts if part.error), None)
        if failed is not None:
            done(failed)
            return
        try:
            joined = parts[0].joined() if len(parts) == 1 else _stacked(parts)
            done(encode(model, joined, request.outputs, steps))
        except Exception as error:
            done(told(error))

    # Models without state never read the arena: all rows share its first.
    if model.signature.whole:
        parts += [Whole(0, row.data, steps, land) for row in rows]
    else:
        parts += [Ready(0, row.data, land) for row in rows]
    model.batcher.put(parts)


def _stacked(parts: list[Ready]) -> Array:
    return np.concatenate([part.joined() for part in parts])
