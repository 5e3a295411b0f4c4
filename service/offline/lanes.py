"""Takes every step of many sequences on the rows of one engine.

Owns the way of numbers from table to engine and back. Which sequence stands in which row, and when,
is the schedule's to say. Knows nothing of files.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.chunks import Float32
from service.engine import StepEngine
from service.offline import schedule
from service.offline.sequences import Sequences


def run(
    engine: StepEngine,
    initial: Float32,
    features: Float32,
    sequences: Sequences,
    report: Callable[[int], object],
) -> Float32:
    """Takes every step of every sequence.

    Args:
        engine: nobody else may use it meanwhile.
        initial: first state of every sequence, (state size,).
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
    positions = np.zeros(engine.max_batch, np.intp)
    for part in schedule.deal(sequences.lengths, engine.max_batch).runs():
        positions[part.entered] = sequences.starts[part.entering]
        engine.states[part.entered] = initial
        lanes = slice(part.lanes)
        for _ in range(part.ticks):
            rows = sequences.rows[positions[lanes]]
            # mode="clip" skips a bounds check that the sequences have made true.
            np.take(features, rows, axis=0, out=engine.inputs[lanes], mode="clip")
            engine.step(part.lanes)
            answer_items[rows] = output_items[lanes]
            engine.states[lanes] = engine.next_states[lanes]
            positions[lanes] += 1
        report(part.ticks * part.lanes)
    return answers


def _items(array: Float32) -> NDArray[np.void]:
    """The rows of an array as one item each, (rows,): NumPy scatters items twice as fast."""
    return array.view(np.dtype((np.void, array.strides[0])))[:, 0]
