from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import model


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the benchmarks' model."""
    folder = tmp_path_factory.mktemp("repository")
    model.make(folder)
    return folder


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Tells whether a process is there, and not a zombie that nobody has asked for."""

    def tell(pid: int) -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rsplit(")", 1)[1].split()[0] != "Z"

    return tell
