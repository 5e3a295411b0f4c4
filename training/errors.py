"""What can go wrong in training, for the user's own mistakes.

Every message is one line that names the field, the value and the remedy; commands print it and
exit 2, or 1 where there is nothing for the user to change. Anything else that is raised is a defect
of this package.

    TrainingError
    ├── ConfigError         a setting that is unknown, missing or out of its range
    ├── DataError           a table that can't be trained on, or could not be fetched
    ├── RunError            a run folder that is taken, or a fit that diverged
    ├── CheckpointError     a checkpoint that is missing, damaged or not ours
    └── ComparisonFailed    a measurement that contradicts the mathematics
"""


class TrainingError(Exception):
    """A mistake of the user, in one line."""


class ConfigError(TrainingError):
    """A setting is unknown, missing or out of its range."""


class DataError(TrainingError):
    """A table can't be trained on, or could not be fetched."""


class RunError(TrainingError):
    """A run folder is taken, or a fit diverged."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged or not ours."""


class ComparisonFailed(TrainingError):
    """Something measured is not what the mathematics says: a defect, and nothing to change."""
