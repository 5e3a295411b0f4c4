"""Prometheus's own judgement of the files that it is given."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def promtool() -> Promtool:
    """Runs promtool with so many words."""
    program = shutil.which("promtool")
    if program is None:
        missing = "promtool is missing: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=60, check=False
        )

    return run
