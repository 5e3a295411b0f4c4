"""One load on one running server: measured, and its answers checked.

Owns starting the generator in its own process, on its own core, and reading what it says.
"""

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import processes
from benchmarks.load.settings import LoadReport, LoadSettings
from benchmarks.serving.agreement import Agreement, compare

# Time to open and close the streams, and for the interpreter to start and end.
_MARGIN_SECONDS = 60.0


@dataclass(frozen=True)
class Trial:
    """A load, what it measured, and what the answers were worth."""

    load: LoadSettings
    report: LoadReport
    agreement: Agreement


def run(load: LoadSettings, core: int, model: Path, tolerance: float) -> Trial:
    """Runs a load on a core and compares all its answers with the model's.

    Args:
        load: what to send where.
        core: for the generator.
        model: the .onnx file that the server serves.
        tolerance: largest absolute error of an answer; 0 demands the model's own bits.

    Raises:
        LoadError: the server could not be driven.
        WrongAnswerError: an answer was off by more than the tolerance.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs.npz"
        options = [
            f"--{name.replace('_', '-')}={value}"
            for name, value in asdict(load).items()
            if not isinstance(value, bool)
        ]
        options += ["--idle"] if load.idle else []
        text = processes.run(
            [sys.executable, "-m", "benchmarks.load", *options, f"--outputs={outputs}"],
            core,
            load.longest_seconds + _MARGIN_SECONDS,
        )
        with np.load(outputs) as arrays:
            agreement = compare(model, list(arrays.values()))
    agreement.require(tolerance)
    return Trial(load, LoadReport(**json.loads(text)), agreement)
