"""Runs that are killed, and go on."""

import errno
import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import training.checkpoint
import training.files
from training.checkpoint import load_checkpoint
from training.config import Config
from training.config_file import read_config
from training.errors import RunError
from training.fit import fit
from training.run_folder import RunFolder

# Runs the command, and kills its own process at the n-th call of what writes files: before a write
# (even n) or after half of it (odd n). The command's own lines are not touched.
KILLED = """
import os, signal, sys
from pathlib import Path
import training.__main__ as command
import training.files as files

left, written = int(sys.argv[1]), files._sync
def sync_or_die(path):
    global left
    left -= 1
    if left == 0:
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    written(path)
files._sync = sync_or_die
sys.exit(command.main(sys.argv[2:]))
"""


@pytest.fixture
def config(small_config: Path) -> Config:
    return read_config(small_config)


def kill_after(syncs: int, *arguments: object) -> int:
    """The command's exit code, where it is killed at its n-th wait for the disk."""
    command = [sys.executable, "-c", KILLED, str(syncs), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def contents(folder: RunFolder) -> list[dict[str, torch.Tensor]]:
    return [load_checkpoint(path).weights for path in (folder.best, folder.last)]


def lines(folder: RunFolder) -> list[dict[str, float]]:
    found = [json.loads(line) for line in folder.log.read_text().splitlines()]
    for line in found:
        del line["speed_steps_per_second"]
    return found


def test_killed_anywhere_it_ends_with_the_same_bits(small_config: Path, tmp_path: Path) -> None:
    config = read_config(small_config)
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    metrics = fit(config, whole)
    draw = random.Random(4)
    deaths = 0
    # An epoch waits for the disk six times: twice for each of the log and two checkpoints.
    for syncs in (1, draw.randrange(6, 12), draw.randrange(8, 13), 99):
        code = kill_after(syncs, "fit", "--config", small_config, "--out", killed.path)
        deaths += code == -signal.SIGKILL
    assert code == 0
    assert deaths == 3
    for ours, theirs in zip(contents(killed), contents(whole), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert lines(killed) == lines(whole)
    found = json.loads(killed.metrics.read_text())
    assert found.pop("fit_time_seconds") > 0
    assert found.items() <= metrics.items()
    assert sorted(file.name for file in killed.path.iterdir()) == sorted(
        file.name for file in whole.path.iterdir()
    )


def interrupt_after(epochs: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Lets the last checkpoint of later epochs fail half-way."""
    import training.fit

    save = training.checkpoint.save_checkpoint

    def failing(path: Path, checkpoint: training.checkpoint.Checkpoint) -> None:
        state = checkpoint.state
        if state is not None and len(state.epochs) > epochs:
            raise error
        save(path, checkpoint)

    monkeypatch.setattr(training.fit, "save_checkpoint", failing)


@pytest.fixture
def unfinished(config: Config, tmp_path: Path) -> RunFolder:
    """A run that was stopped in its third epoch."""
    folder = RunFolder(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(2, patch, KeyboardInterrupt())
        fit(config, folder)
    return folder


def test_the_same_command_goes_on(config: Config, unfinished: RunFolder, capsys) -> None:
    assert len(lines(unfinished)) == 3
    fit(config, unfinished)
    assert [line["epoch"] for line in lines(unfinished)] == [1, 2, 3, 4]
    assert "going on after epoch 2" in capsys.readouterr().err


def test_force_begins_anew(config: Config, unfinished: RunFolder, capsys) -> None:
    capsys.readouterr()
    fit(replace(config, seed=6), unfinished, force=True)
    assert capsys.readouterr().err.startswith("epoch   1/4")


def test_patience_lasts_no_longer_for_the_interruption(config: Config, tmp_path: Path) -> None:
    settings = replace(config.training, epochs=30, patience_epochs=2, learning_rate=3.0)
    config = replace(config, training=settings)
    folder = RunFolder(tmp_path / "run")
    fit(config, folder)
    before = lines(folder)
    folder.metrics.unlink()
    fit(config, folder)
    assert lines(folder) == before


@pytest.mark.parametrize("sampling", ["carried", "whole"])
def test_carried_states_and_what_is_dropped_go_on_too(
    config: Config, tmp_path: Path, sampling: str
) -> None:
    settings = replace(config.training, sampling=sampling, dropout=0.3)
    network = replace(config.network, layers=2)
    config = replace(config, training=settings, network=network)
    stopped, whole = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(2, patch, KeyboardInterrupt())
        fit(config, stopped)
    fit(config, stopped)
    fit(config, whole)
    for ours, theirs in zip(contents(stopped), contents(whole), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert lines(stopped) == lines(whole)


@pytest.mark.parametrize(
    ("section", "setting", "value", "message"),
    [
        ("training", "lanes", 9, r"with training\.lanes = 8, not 9; change it back"),
        ("network", "hidden", 7, r"with network\.hidden = 6, not 7"),
        ("data", "features", {"slope": "m/s"}, r"with data\.features = .*'lev\*': 'm'"),
    ],
)
def test_another_configuration_is_refused(
    config: Config, unfinished: RunFolder, section: str, setting: str, value, message: str
) -> None:
    before = unfinished.last.read_bytes()
    other = replace(config, **{section: replace(getattr(config, section), **{setting: value})})
    with pytest.raises(RunError, match=message) as raised:
        fit(other, unfinished)
    assert "\n" not in str(raised.value)
    assert "--force" in str(raised.value)
    assert unfinished.last.read_bytes() == before


def test_other_data_is_refused(config: Config, unfinished: RunFolder, waves: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(waves)
    pq.write_table(table.slice(0, table.num_rows - 1), waves)
    with pytest.raises(RunError, match=r"unfinished run on data sha256:.*bring the old file back"):
        fit(config, unfinished)


def test_a_full_disk_is_one_line_and_loses_nothing(
    config: Config, unfinished: RunFolder, tmp_path: Path, monkeypatch
) -> None:
    before = unfinished.last.read_bytes()

    def full(path: Path) -> None:
        if path.name.startswith(".last-"):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.files, "_sync", full)
        with pytest.raises(RunError, match=r"--out .*run can't be written: No space left") as error:
            fit(config, unfinished)
    assert "\n" not in str(error.value)
    assert unfinished.last.read_bytes() == before
    fit(config, unfinished)
    whole = RunFolder(tmp_path / "whole")
    fit(config, whole)
    for ours, theirs in zip(contents(unfinished), contents(whole), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
