"""A fitted run with the very data that it was fitted on.

Owns the way back from a run's folder to its network and its sequences. Knows nothing of what they
are wanted for.
"""

from dataclasses import dataclass

from training.checkpoint import Checkpoint, load_checkpoint
from training.config import Config
from training.config_file import parse_config
from training.data.load import load_dataset
from training.data.sequences import Dataset
from training.data.splits import Split, make_split
from training.errors import DataError
from training.run_folder import RunFolder


@dataclass(frozen=True)
class FittedRun:
    """What a run left, and what it was made from.

    Attributes:
        folder: where it is.
        checkpoint: the best one.
        config: what was fitted.
        dataset: all sequences.
        split: their parts.
    """

    folder: RunFolder
    checkpoint: Checkpoint
    config: Config
    dataset: Dataset
    split: Split


def load_fitted(folder: RunFolder) -> FittedRun:
    """Reads a run's best checkpoint and its data.

    Raises:
        CheckpointError: the run has no checkpoint that can be read.
        DataError: the data is not there any more, or not what the run was fitted on.
    """
    checkpoint = load_checkpoint(folder.best)
    config = parse_config(checkpoint.config)
    dataset = load_dataset(config.data)
    if dataset.digest != checkpoint.data_digest:
        raise DataError(
            f"{config.data.path}: the data is {dataset.digest}, the run was fitted on "
            f"{checkpoint.data_digest}; fit again, or bring the old file back"
        )
    split = make_split(dataset, config.split, config.seed)
    return FittedRun(folder, checkpoint, config, dataset, split)
