"""One task from steps to a part: read, judge, take every step, keep what came of it.

Owns the order of these within a task. A task of one entity that is longer than a window is taken
window by window, its state carried on.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from service.errors import TableError
from service.offline import rejected
from service.offline.answers import AnswerForm
from service.offline.lanes import Lanes, Sequences
from service.offline.plan import Task
from service.offline.states import Beginnings, StateFiles
from service.offline.steps import Block, Gathering
from service.offline.stream import Shape, Stream
from service.offline.window import Known, Rules, Tally, Window, judge
from service.runtime.engine import Engine
from service.streams.chunks import Float32

ANSWERS, REJECTED, TALLY = "answers.arrow", "rejected.arrow", "tally.json"
# Rows that are copied at once on the way to a part, and a row group of the output.
ROW_GROUP = 131_072
Report = Callable[[int], object]


@dataclass(frozen=True)
class Scorer:
    """What scores tasks: one engine, one reader.

    Attributes:
        engine: proven.
        lanes: its rows.
        stream: the input.
        shape: how it is read.
        rules: what is done about bad rows.
        states: where entities' states come from and go to.
        window: most rows in memory.
    """

    engine: Engine
    lanes: Lanes
    stream: Stream
    shape: Shape
    rules: Rules
    states: StateFiles
    window: int

    def score(self, task: Task, folder: Path, report: Report) -> Tally:
        """Scores a task into a folder.

        Args:
            task: which rows.
            folder: takes the files of a part.
            report: is told how many rows were dealt with since it was last told.

        Raises:
            TableError: a row is bad and may not be, or an answer is not finite.
            ModelFault: the engine failed.
        """
        form = AnswerForm.of(self.engine.artifact, self.shape)
        tally, spoilt = Tally(), self._is_spoilt(task)
        bad = rejected.schema(self.shape.columns, self.shape.entity_type, self.shape.order_type)
        with (
            ipc.new_file(str(folder / ANSWERS), form.schema) as answers,
            ipc.new_file(str(folder / REJECTED), bad) as rows,
            self.states.beginnings(folder) as beginnings,
        ):
            known: Known | None = None
            for block in self._windows(task):
                window = self._judged(block, known, beginnings)
                if spoilt:
                    window = _left_out(window)
                if len(window.bad):
                    rows.write_batch(rejected.of_block(window.bad, self.rules.files, bad))
                if len(window.block):
                    goes_on = known is not None
                    self._write(
                        answers,
                        form,
                        window,
                        self._answers(task, window, beginnings, report, goes_on=goes_on),
                    )
                    known = _last(window)
                report(len(block) - len(window.block))
                tally.add(_tallied(window))
                # Not held while the next window is gathered.
                del block, window
            beginnings.end()
        if self._is_long(task):
            # Its windows have counted it again and again.
            tally.entities, tally.skipped = min(tally.entities, 1), min(tally.skipped, 1)
        (folder / TALLY).write_text(json.dumps(vars(tally)))
        pa.default_memory_pool().release_unused()
        return tally

    def _is_long(self, task: Task) -> bool:
        return task.stop - task.start > self.window

    def _windows(self, task: Task) -> Iterator[Block]:
        held = Gathering(min(self.window, task.stop - task.start))
        for block in self.stream.take(task.start, task.stop):
            if held.rows and held.rows + len(block) > held.room:
                yield held.take()
            held.add(block)
        if held.rows:
            yield held.take()

    def _judged(self, block: Block, known: Known | None, beginnings: Beginnings) -> Window:
        if known is None:
            known = beginnings.known(block)
        return judge(block, self.rules, known)

    def _is_spoilt(self, task: Task) -> bool:
        """Whether an entity that is longer than a window has a bad row anywhere."""
        if self.rules.on_error != "skip-entity" or not self._is_long(task):
            return False
        known: Known | None = None
        for block in self._windows(task):
            window = judge(block, self.rules, known)
            if len(window.bad):
                return True
            known = _last(window)
        return False

    def _answers(
        self, task: Task, window: Window, beginnings: Beginnings, report: Report, *, goes_on: bool
    ) -> Float32:
        kept = places = None
        if self.states.used or self._is_long(task):
            kept, places = beginnings.states(window, goes_on=goes_on)
        initial = self.engine.signature.initial_row()
        sequences = Sequences(window.starts, window.lengths, initial, kept, places)
        values = self.lanes.run(window.block.features, sequences, report)
        if kept is not None:
            beginnings.keep(window)
        return values

    def _write(
        self, file: ipc.RecordBatchFileWriter, form: AnswerForm, window: Window, values: Float32
    ) -> None:
        for start in range(0, len(values), ROW_GROUP):
            part = values[start : start + ROW_GROUP]
            self._check_finite(window.block, start, part)
            file.write_batch(form.batch(window.block, start, part))

    def _check_finite(self, block: Block, start: int, values: Float32) -> None:
        finite = np.isfinite(values)
        if finite.all():
            return
        row, channel = divmod(int(finite.argmin()), finite.shape[1])
        name = self.engine.artifact.outputs[channel]
        where = rejected.place(block, start + row, name, self.rules.files)
        raise TableError(
            f"{where}: the model answers {values[row, channel]} to finite features; check their "
            "scale against the training data"
        )


def read_tally(folder: Path) -> Tally:
    """What was counted when a part was made."""
    tally = Tally(**json.loads((folder / TALLY).read_text()))
    tally.faults = type(Tally().faults)(tally.faults)
    return tally


def _last(window: Window) -> Known | None:
    """The last step of a window; None where it has none."""
    end = len(window.block) - 1
    if end < 0:
        return None
    return Known(window.block.entities.slice(end), window.block.order.slice(end))


def _left_out(window: Window) -> Window:
    """The same rows, none of which is scored."""
    block = window.block
    nothing = np.zeros(0, np.intp)
    left_out = window.left_out + len(block)
    nobody = window.skipped if len(window.skipped) else block.entities.slice(0, min(1, len(block)))
    return Window(block.slice(0, 0), nothing, nothing, window.bad, nobody, left_out)


def _tallied(window: Window) -> Tally:
    return Tally(
        rows=len(window.block),
        entities=len(window.starts),
        faults=window.faults,
        skipped=len(window.skipped),
        left_out=window.left_out,
    )
