"""Whether the answers that were timed are the model's own.

Owns the comparison: every output of every stream with the graph run directly, step by step, with
ONNX Runtime. Knows nothing of servers or wires.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.errors import WrongAnswerError
from benchmarks.load.rows import ROWS, stream_rows

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """What a comparison found.

    Attributes:
        steps: how many answers were compared, of all streams together.
        differing_values: how many numbers have other bits than the model's.
        worst_error: largest absolute difference.
        where: its stream and step.
    """

    steps: int
    differing_values: int
    worst_error: float
    where: str

    def require(self, tolerance: float) -> None:
        """Refuses answers that are off.

        Args:
            tolerance: largest absolute difference allowed; with 0 the bits must agree.

        Raises:
            WrongAnswerError: they are off by more.
        """
        bits_agree = tolerance > 0 or self.differing_values == 0
        # Written so that NaN fails.
        if not (bits_agree and self.worst_error <= tolerance):
            raise WrongAnswerError(
                f"{self.differing_values} values of {self.steps} steps differ from the model's, "
                f"at worst by {self.worst_error:.3g} in {self.where}, tolerance {tolerance:g}; "
                "wrong answers get no figures"
            )


def compare(model: Path, outputs: Sequence[Floats]) -> Agreement:
    """Compares the outputs of a load's streams with the model's.

    Args:
        model: the .onnx file, a graph with an input and a state, both float32 [batch, width].
        outputs: the results of each stream, (steps, width).
    """
    steps = [len(array) for array in outputs]
    expected = np.concatenate(replay(model, steps))
    actual = np.concatenate(list(outputs))
    # (all steps,), the worst of each step
    errors = np.abs(expected.astype(np.float64) - actual).max(axis=1)
    worst = int(errors.argmax())
    stream = int(np.searchsorted(np.cumsum(steps), worst, side="right"))
    return Agreement(
        steps=len(actual),
        differing_values=int((expected.view(np.uint32) != actual.view(np.uint32)).sum()),
        worst_error=float(errors[worst]),
        where=f"stream {stream}, step {worst - sum(steps[:stream]) + 1}",
    )


def replay(model: Path, steps: Sequence[int]) -> list[Floats]:
    """What a load's streams must be answered, (steps, outputs) each, for these numbers of steps."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    source, state = session.get_inputs()
    # Longest first, so that the streams that still go on are always the first ones.
    order = sorted(range(len(steps)), key=lambda stream: -steps[stream])
    # (streams, ROWS, features)
    rows = np.stack([stream_rows(stream, source.shape[1]) for stream in order])
    states = np.zeros((len(steps), state.shape[1]), np.float32)
    found: list[list[Floats]] = [[] for _ in steps]
    for step in range(max(steps)):
        running = [stream for stream in order if steps[stream] > step]
        feed = {source.name: rows[: len(running), step % ROWS], state.name: states[: len(running)]}
        answers, states = session.run(None, feed)
        for stream, answer in zip(running, answers, strict=True):
            found[stream].append(answer)
    width = answers.shape[1]
    return [np.array(rows, np.float32).reshape(len(rows), width) for rows in found]
