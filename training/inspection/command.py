"""The command `python -m training inspect`.

Owns the ranges of its options and what it prints.
"""

import sys
from pathlib import Path

import torch

from training.errors import ComparisonFailed, ConfigError
from training.files import replace_text
from training.inspection.comparison import table
from training.inspection.inspect import Settings, inspect
from training.inspection.page import write_page
from training.run_folder import RunFolder

_RANGES = {"epochs": 1_000_000, "lags": 10_000, "threads": 1_024}


def run(path: Path, *, epochs: int | None, lags: int, threads: int) -> None:
    """Inspects a run, writes its page, and prints what was found.

    Raises:
        TrainingError: an option is out of its range, or the run can't be inspected.
        ComparisonFailed: a measured derivative is not what the formula says; the page is written.
    """
    for name, value in {"epochs": epochs, "lags": lags, "threads": threads}.items():
        if value is not None and not 1 <= value <= _RANGES[name]:
            raise ConfigError(f"--{name} {value} must be from 1 to {_RANGES[name]}")
    torch.set_num_threads(threads)
    folder = RunFolder(path)
    inspection = inspect(folder, Settings(lags, epochs), lambda line: print(line, file=sys.stderr))
    replace_text(folder.report, write_page(inspection))
    print(f"{table(inspection.comparisons)}\n")
    for contender in inspection.contenders:
        print(f"{contender.name}: {contender.norms.describe()}")
    failed = [comparison for comparison in inspection.comparisons if not comparison.passed]
    if failed:
        raise ComparisonFailed(
            f"{path}: {len(failed)} of {len(inspection.comparisons)} comparisons failed, first "
            f"{failed[0].check}, {failed[0].compared}; this is a defect, please report it"
        )
    print(f"wrote {folder.report}")
