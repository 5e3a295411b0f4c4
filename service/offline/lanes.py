"""Takes every step of many sequences on the rows of one engine.

Owns the way of numbers from table to engine and back. Which sequence stands in which row, and when,
is the schedule's to say. Knows nothing of files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.chunks import Float32
from service.engine import StepEngine
from service.offline import schedule
from service.tensors import Array

Indices = NDArray[np.intp]


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


def run(
    engine: StepEngine, features: Float32, sequences: Sequences, report: Callable[[int], object]
) -> Float32:
    """Takes every step of every sequence.

    Args:
        engine: nobody else may use it meanwhile.
        features: (rows, features).
        sequences: which rows are whose steps.
        report: is told how many steps were taken since it was last told.

    Returns:
        The answer to each row, (rows, outputs).

    Raises:
        ModelFault: the engine failed.
    """
    answers = np.empty((len(features), engine.outputs.shape[1]), np.float32)
    answer_items, output_items = _items(answers), _items(engine.outputs)
    rows = np.zeros(engine.max_batch, np.intp)
    lanes_wanted = schedule.width(sequences.lengths, engine.max_batch)
    for part in schedule.deal(sequences.lengths, lanes_wanted).runs():
        rows[part.entered] = sequences.starts[part.entering]
        _enter(engine.states, sequences, part)
        lanes = slice(part.lanes)
        inputs, outputs = engine.inputs[lanes], output_items[lanes]
        states, next_states = engine.states[lanes], engine.next_states[lanes]
        now = rows[lanes]
        for _ in range(part.ticks):
            # mode="clip" skips a bounds check that the sequences have made true.
            features.take(now, axis=0, out=inputs, mode="clip")
            engine.step(part.lanes)
            answer_items[now] = outputs
            states[...] = next_states
            now += 1
        _leave(engine.states, sequences, part)
        report(part.ticks * part.lanes)
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


def _items(array: NDArray[Any]) -> NDArray[np.void]:
    """The rows of an array as one item each, (rows,): NumPy scatters items twice as fast."""
    return array.view(np.dtype((np.void, array.strides[0])))[:, 0]
