"""Whether a folder holds a run that can go on, and whether it is the same run.

Owns the comparison of what is asked for now with what the run was begun with. Knows nothing of how
a fit is done.
"""

from training.checkpoint import Checkpoint, load_checkpoint
from training.config import Config
from training.config_file import first_difference, parse_config
from training.errors import RunError
from training.run_folder import RunFolder


def find_unfinished(folder: RunFolder, config: Config, data_digest: str) -> Checkpoint | None:
    """The newest checkpoint of an unfinished run, with the state of its fit.

    Args:
        folder: of the run.
        config: what is to be done now.
        data_digest: of the data that is there now.

    Returns:
        None where nothing has been saved yet.

    Raises:
        CheckpointError: the checkpoint is damaged, or not one of ours.
        RunError: the run was begun with another configuration, or on other data.
    """
    if not folder.last.exists():
        return None
    checkpoint = load_checkpoint(folder.last)
    begun = f"--out {folder.path} holds an unfinished run"
    remedy = "or give --force to begin anew"
    if checkpoint.state is None:
        raise RunError(f"{begun} of an earlier version, which can't go on; fit elsewhere, {remedy}")
    if difference := first_difference(parse_config(checkpoint.config), config):
        name, before, now = difference
        raise RunError(f"{begun} with {name} = {before!r}, not {now!r}; change it back, {remedy}")
    if checkpoint.data_digest != data_digest:
        raise RunError(
            f"{begun} on data {checkpoint.data_digest}; {config.data.path} is {data_digest} now; "
            f"bring the old file back, {remedy}"
        )
    return checkpoint
