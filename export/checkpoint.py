"""Reads what a training run left behind.

Owns the only way from this package into torch, which training needs to read a checkpoint; imported
where a run is exported, and nowhere else.
"""

from pathlib import Path

from export.errors import RunError
from training.checkpoint import load_trained
from training.errors import TrainingError
from training.trained import TrainedModel


def read_run(run: Path) -> TrainedModel:
    """Loads the fitted network of a run.

    Raises:
        RunError: the folder is not there, or holds no checkpoint that can be read.
    """
    try:
        return load_trained(run)
    except TrainingError as error:
        raise RunError(str(error)) from error
