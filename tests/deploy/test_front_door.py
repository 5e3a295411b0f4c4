"""`make` and CI: what a newcomer types, and what happens before anything is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
PREPARED = [target for target in TARGETS if target not in ("help", "clean")]

# Without it, make looks for one each time.
NAMED_PYTHON = f"PYTHON={sys.executable}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout, as far as `make` looks at it."""
    for name in ("Makefile", "pyproject.toml", "client/pyproject.toml", ".ci/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command without what an outer `make` left in the environment."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "ORT_DISABLE_TELEMETRY"}
    kept = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


def install(checkout: Path) -> Path:
    """Leaves what a finished set-up leaves; newer than what it was made from."""
    installed = checkout / ".venv/.installed"
    installed.parent.mkdir()
    installed.touch()
    for source in ("pyproject.toml", "client/pyproject.toml"):
        os.utime(checkout / source, (1_000, 1_000))
    return installed


def test_make_alone_explains_every_target(checkout: Path) -> None:
    explained = run(checkout, "make").stdout

    assert len(TARGETS) >= 8
    assert [line.split()[1] for line in explained.splitlines()] == TARGETS


@pytest.mark.parametrize("target", PREPARED)
def test_a_target_makes_the_environment_first(checkout: Path, target: str) -> None:
    planned = run(checkout, "make", "--dry-run", target, NAMED_PYTHON).stdout

    assert "-m venv" in planned.partition("pip install")[0]


@pytest.mark.parametrize("target", PREPARED)
def test_a_target_uses_the_environment_that_is_there(checkout: Path, target: str) -> None:
    install(checkout)

    planned = run(checkout, "make", "--dry-run", target, NAMED_PYTHON)

    assert planned.returncode == 0
    assert "pip install" not in planned.stdout


def test_nothing_that_make_runs_reports_to_others(checkout: Path) -> None:
    pytest_stand_in = install(checkout).parent / "bin/pytest"
    pytest_stand_in.parent.mkdir()
    pytest_stand_in.write_text('#!/bin/sh\necho "telemetry disabled: $ORT_DISABLE_TELEMETRY"\n')
    pytest_stand_in.chmod(0o755)

    assert "telemetry disabled: 1" in run(checkout, "make", "test").stdout


@pytest.mark.parametrize("source", ["pyproject.toml", "client/pyproject.toml"])
def test_new_requirements_renew_the_environment(checkout: Path, source: str) -> None:
    installed = install(checkout)
    later = installed.stat().st_mtime + 1
    os.utime(checkout / source, (later, later))

    assert "pip install" in run(checkout, "make", "--dry-run", "test", NAMED_PYTHON).stdout


@pytest.mark.parametrize("python", ["", "false", "no-such-python"])
def test_a_python_that_cannot_serve_is_refused(checkout: Path, python: str) -> None:
    result = run(checkout, "make", "setup", f"PYTHON={python}")

    assert result.returncode == 2
    assert f"error: PYTHON is '{python}'; Statewise needs Python 3.11 or later" in result.stderr
    assert "Making .venv" not in result.stdout


@pytest.mark.parametrize(("lint", "called"), [(0, ["lint", "test"]), (1, ["lint"])])
def test_ci_lints_then_tests(checkout: Path, lint: int, called: list[str]) -> None:
    make = checkout / "tools/make"
    make.parent.mkdir()
    make.write_text(f'#!/bin/sh\necho "$@"\n[ "$1" = test ] || exit {lint}\n')
    make.chmod(0o755)
    # What it installs is the machine's affair, not this test's.
    packages = make.with_name("apt-get")
    packages.write_text("#!/bin/sh\n")
    packages.chmod(0o755)

    result = run(checkout, "bash", ".ci/run", PATH=f"{make.parent}:{os.environ['PATH']}")

    assert result.stdout.splitlines() == called
    assert result.returncode == lint
