"""How far a fit is, for whoever watches.

Owns the wording on standard error: a bar where that is a terminal, one line an epoch elsewhere.
"""

import sys
import time
from typing import Never

from tqdm import tqdm

from training.config import TrainingConfig
from training.epoch import EpochFigures
from training.objective import Objective
from training.trainer import Update


class Progress:
    """Shows a fit's updates and epochs, after those that an earlier process has done.

    A title says whose they are, where there is more than one; quiet, it shows nothing.
    """

    def __init__(
        self,
        config: TrainingConfig,
        objective: Objective,
        done: list[EpochFigures],
        title: str = "",
        *,
        quiet: bool = False,
    ) -> None:
        self._quiet = quiet
        self._title = title
        self._objective = objective
        self._epochs = config.epochs
        self._done = len(done)
        self._started = time.monotonic()
        self._validation = ""
        self._bar: tqdm[Never] | None = None
        if quiet:
            return
        if sys.stderr.isatty():
            updates = config.epochs * config.batches_per_epoch
            start = self._done * config.batches_per_epoch
            self._bar = tqdm(
                total=updates, initial=start, unit="update", desc=title or "fit", dynamic_ncols=True
            )
        elif done:
            print(f"going on after epoch {self._done}", file=sys.stderr, flush=True)

    def update(self, update: Update, seconds: float) -> None:
        """Shows one update, which took so many seconds."""
        if self._bar is not None:
            words = self._objective.describe(self._objective.figures(update.score))
            speed = update.steps / seconds
            self._bar.set_postfix_str(
                f"{words}{self._validation}, {speed:,.0f} steps/s", refresh=False
            )
            self._bar.update()

    def epoch(self, figures: EpochFigures) -> None:
        """Shows one epoch."""
        self._validation = f" (validation {self._objective.describe(figures.validation)})"
        if self._bar is None and not self._quiet:
            print(self._line(figures), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the terminal as it was found."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, figures: EpochFigures) -> str:
        elapsed = time.monotonic() - self._started
        left = elapsed / (figures.epoch - self._done) * (self._epochs - figures.epoch)
        return (
            f"{self._title}{': ' if self._title else ''}epoch {figures.epoch:3d}/{self._epochs}"
            f"  {self._objective.describe(figures.training)}"
            f"  validation {self._objective.describe(figures.validation)}"
            f"  {figures.speed_steps_per_second:,.0f} steps/s"
            f"  at most {left:.0f} s left"
        )
