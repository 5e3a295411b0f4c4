"""Runs an artefact's graph on ONNX Runtime's CPU provider, as the server does.

Owns everything of onnxruntime in this package. Knows nothing of what the answers should be.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Where it is not told otherwise before its import, ONNX Runtime keeps a record of its use on disk
# and may send it to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from export import tensors
from export.cases import Answer, Case, Floats, Lengths
from export.errors import ArtifactError
from export.forms import SEQUENCE, Form


class StepRunner:
    """Loops the single-step form over the steps."""

    def __init__(self, model: bytes) -> None:
        self._session = _open(model)

    def run(self, case: Case) -> Answer:
        """Runs all steps of a case, one call a step."""
        state = case.state
        outputs = []
        for step in case.inputs:
            feed = {tensors.INPUT: step, tensors.STATE: state}
            output, state = _run(self._session, feed)
            outputs.append(output)
        return Answer(np.stack(outputs), state)


class SequenceRunner:
    """Runs the sequence form, one call for all steps."""

    def __init__(self, model: bytes) -> None:
        self._session = _open(model)

    def run(self, case: Case) -> Answer:
        """Runs all steps of a case."""
        steps, batch = case.inputs.shape[:2]
        return self.run_lengths(case, np.full(batch, steps, dtype=np.int32))

    def run_lengths(self, case: Case, lengths: Lengths) -> Answer:
        """Runs each stream of a case for its own number of steps, lengths (batch,)."""
        feed = {
            tensors.INPUT: case.inputs,
            tensors.SEQUENCE_LENGTHS: lengths,
            tensors.STATE: case.state,
        }
        return Answer(*_run(self._session, feed))


def open_runner(model: bytes, form: Form) -> StepRunner | SequenceRunner:
    """Opens a graph of a form.

    Raises:
        ArtifactError: ONNX Runtime can't load it.
    """
    return SequenceRunner(model) if form is SEQUENCE else StepRunner(model)


def version() -> str:
    """Of ONNX Runtime."""
    return str(onnxruntime.__version__)


def _open(model: bytes) -> onnxruntime.InferenceSession:
    """Opens a session with the server's options; prepacking, on by default, makes equal bits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Takes effect on the first session of a process only.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    with _refusing("load"):
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(
    session: onnxruntime.InferenceSession, feed: dict[str, NDArray[Any]]
) -> tuple[Floats, Floats]:
    """Output and next state of one call."""
    with _refusing("run"):
        output, next_state = session.run([tensors.OUTPUT, tensors.NEXT_STATE], feed)
    return output, next_state


@contextlib.contextmanager
def _refusing(action: str) -> Iterator[None]:
    try:
        yield
    # Its exceptions have no common class below Exception.
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"ONNX Runtime can't {action} the graph: {reason}") from error
