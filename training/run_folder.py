"""A run's folder: which file holds what.

Owns the names of a run's files. Knows nothing of their content.
"""

from dataclasses import dataclass
from pathlib import Path

from training.errors import RunError
from training.files import leftovers


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its files.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration as it was used, TOML."""
        return self.path / "config.toml"

    @property
    def best(self) -> Path:
        """The checkpoint whose weights were kept, by `training.keep`; the one to export."""
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint of the newest epoch, from which a killed run goes on."""
        return self.path / "last.pt"

    @property
    def log(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """The same figures for TensorBoard, a folder."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """The final figures, JSON; written last, so that its presence says "finished"."""
        return self.path / "metrics.json"

    @property
    def loss_picture(self) -> Path:
        """Loss and accuracy by epoch."""
        return self.path / "loss.png"

    @property
    def confusion_picture(self) -> Path:
        """True against most likely class, on the test part."""
        return self.path / "confusion.png"

    @property
    def residual_picture(self) -> Path:
        """True against computed numbers, on the test part."""
        return self.path / "residuals.png"

    @property
    def labels_picture(self) -> Path:
        """Precision, recall and F1 of each label, on the test part."""
        return self.path / "labels.png"

    @property
    def validation(self) -> Path:
        """What the last export of this run compared, JSON; written by the export."""
        return self.path / "validation.json"

    @property
    def validation_picture(self) -> Path:
        """The last export's errors by step; written by the export."""
        return self.path / "validation.png"

    @property
    def inspection(self) -> Path:
        """What an inspection measured, and the networks that it compared with."""
        return self.path / "inspection"

    @property
    def report(self) -> Path:
        """An inspection as a page."""
        return self.path / "report.html"

    def refuse_finished(self) -> None:
        """Makes sure that no finished run is lost.

        Raises:
            RunError: the folder holds a finished run, or is a file.
        """
        if self.path.is_file():
            raise RunError(f"--out {self.path} is a file; name a folder")
        if self.metrics.exists():
            raise RunError(
                f"--out {self.path} holds a finished run; choose another folder, or give --force "
                "to replace it"
            )

    def clear(self) -> None:
        """Makes the folder ready for a new run; files that are not a run's own stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self._own:
            file.unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Removes what a killed process left half-written."""
        for file in self._own:
            for leftover in leftovers(file):
                leftover.unlink(missing_ok=True)

    @property
    def _own(self) -> tuple[Path, ...]:
        # The figures first: without them, a run that is half removed does not look finished.
        files = (self.metrics, self.config, self.last, self.best, self.log)
        pictures = (
            self.loss_picture,
            self.confusion_picture,
            self.residual_picture,
            self.labels_picture,
        )
        # An export or an inspection of the run before says nothing about the next one.
        return (*files, *pictures, self.validation, self.validation_picture, self.report)
