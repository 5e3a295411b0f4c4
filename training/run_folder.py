"""A run's folder: which file holds what.

Owns the names of a run's files. Knows nothing of their content.
"""

from dataclasses import dataclass
from pathlib import Path

from training.errors import RunError


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
        """The checkpoint with the lowest validation loss; the one to export."""
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint of the newest epoch."""
        return self.path / "last.pt"

    @property
    def log(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

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

    def clear(self, *, force: bool) -> None:
        """Makes the folder ready for a new run; files that are not a run's own stay.

        Raises:
            RunError: it holds a finished run, and `force` is False.
        """
        if self.metrics.exists() and not force:
            raise RunError(
                f"--out {self.path} holds a finished run; choose another folder, or give --force "
                "to replace it"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        own = (self.metrics, self.config, self.best, self.last, self.log)
        for file in (*own, self.loss_picture, self.confusion_picture):
            file.unlink(missing_ok=True)
