"""Takes every step of many sequences on the rows of one engine.

Owns the way of numbers from table to engine and back. Which sequence stands in which row, and when,
is the schedule's to say. Knows nothing of files.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.offline import schedule
from service.runtime.engine import StepEngine
from service.streams.chunks import Float32
from service.tensors import Array, items

Indices = NDArray[np.intp]
# Steps, since telling takes time too.
_TOLD_AT_ONCE = 4_096


@dataclass(frozen=True)
class Sequences:
    """Rows of steps that follow each other.

    Attributes:
        starts: row of each sequence's first step, (sequences,).
        lengths: its steps, at least one, (sequences,).
        initial: state of those that begin anew, (state size,).
        kept: states that sequences begin in, and that take their last one, (places, state size).
        places: which of those is whose, (sequences,); -1 for a sequence that begins anew and whose
            last state nobody wants; None where that is so of all.
    """

    starts: Indices
    lengths: Indices
    initial: Array
    kept: Array | None = None
    places: Indices | None = None


class Lanes:
    """The rows of one engine, which nobody else may use meanwhile."""

    def __init__(self, engine: StepEngine) -> None:
        """Steps go from the engine's states to its next states, and then back, without a copy."""
        self._ways = engine, engine.turned()

    def run(
        self, features: Float32, sequences: Sequences, report: Callable[[int], object]
    ) -> Float32:
        """Takes every step of every sequence.

        Args:
            features: (rows, features).
            sequences: which rows are whose steps.
            report: is told how many steps were taken since it was last told.

        Returns:
            The answer to each row, (rows, outputs).

        Raises:
            ModelFault: the engine failed.
        """
        untold = 0
        here, there = self._ways
        answers = np.empty((len(features), here.outputs.shape[1]), np.float32)
        answer_items, output_items = items(answers), items(here.outputs)
        rows = np.zeros(here.max_batch, np.intp)
        most = schedule.width(sequences.lengths, here.max_batch)
        for part in schedule.deal(sequences.lengths, most).runs():
            rows[part.entered] = sequences.starts[part.entering]
            _enter(here.states, sequences, part)
            lanes = part.lanes
            now, inputs, outputs = rows[:lanes], here.inputs[:lanes], output_items[:lanes]
            for _ in range(part.ticks):
                # mode="clip" skips a bounds check that the sequences have made true.
                features.take(now, axis=0, out=inputs, mode="clip")
                here.step(lanes)
                answer_items[now] = outputs
                here, there = there, here
                now += 1
            _leave(here.states, sequences, part)
            untold += part.ticks * lanes
            if untold >= _TOLD_AT_ONCE:
                report(untold)
                untold = 0
        report(untold)
        return answers


def _enter(states: Array, sequences: Sequences, part: schedule.Run) -> None:
    states[part.entered] = sequences.initial
    if sequences.kept is not None and sequences.places is not None:
        places = sequences.places[part.entering]
        known = places >= 0
        states[part.entered[known]] = sequences.kept[places[known]]


def _leave(states: Array, sequences: Sequences, part: schedule.Run) -> None:
    if sequences.kept is not None and sequences.places is not None:
        places = sequences.places[part.leaving]
        wanted = places >= 0
        sequences.kept[places[wanted]] = states[part.left[wanted]]
