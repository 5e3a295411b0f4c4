"""Requests to models without state: each row of a batch is a step of its own.

Owns their way to the tick and back, and the counting of any request's steps against its caller's
rate. Knows nothing of sequences.
"""

from collections.abc import Callable

import numpy as np

from service.errors import RateExceeded, ServiceError
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

    def answer(outcome: Array | ServiceError) -> None:
        if isinstance(outcome, ServiceError):
            done(outcome)
            return
        try:
            done(encode(model, outcome, request.outputs, steps))
        except Exception as error:
            done(told(error))

    _Rows(model, rows, steps, answer).put()


class _Rows:
    """The packed rows of a request on their way, no more at a time than a call takes.

    A row that waits takes far more memory than its numbers, and would wait before everybody else's.
    """

    __slots__ = ("_answers", "_left", "_model", "_parts", "_rows", "_steps", "_taken", "_then")

    def __init__(
        self,
        model: ServedModel,
        rows: Array,
        steps: int,
        then: Callable[[Array | ServiceError], None],
    ) -> None:
        """Starts at the first row; nothing is put yet. `then` is called once."""
        self._model, self._rows, self._steps, self._then = model, rows, steps, then
        self._taken = self._left = 0
        self._parts: list[Ready] = []
        self._answers: list[Array] = []

    def put(self) -> None:
        """Queues the next rows."""
        batcher = self._model.batcher
        piece = self._rows[self._taken : self._taken + batcher.max_batch]
        self._taken += len(piece)
        self._left = len(piece)
        # Models without state never read the arena: all rows share its first.
        if self._model.signature.whole:
            self._parts = [Whole(0, row.data, self._steps, self._land) for row in piece]
        else:
            self._parts = [Ready(0, row.data, self._land) for row in piece]
        batcher.put(self._parts)

    def _land(self, _ready: Ready) -> None:
        self._left -= 1
        if self._left:
            return
        # They point to each other: the request would stay until garbage is looked for.
        parts, self._parts = self._parts, []
        failed = next((part.error for part in parts if part.error), None)
        if failed is not None:
            self._then(failed)
            return
        try:
            self._answers.append(_joined([part.joined() for part in parts]))
            if self._taken < len(self._rows):
                self.put()
                return
            joined = _joined(self._answers)
        except Exception as error:
            self._then(told(error))
        else:
            self._then(joined)


def _joined(answers: list[Array]) -> Array:
    return answers[0] if len(answers) == 1 else np.concatenate(answers)
