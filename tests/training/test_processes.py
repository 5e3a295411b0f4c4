"""A fit by two processes, as torchrun starts them, beside the same fit by one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import load_checkpoint
from training.processes import Processes
from training.run_folder import RunFolder
from training.sampling import CropSampler

# float32 sums of the same numbers in another order, through a dozen updates of AdamW, which divides
# by the gradients' size.
TOLERANCE = 1e-4
FIT = ("-m", "training", "fit")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("sampling", ["crops", "carried"])
def test_two_processes_fit_what_one_does(small_config: Path, tmp_path: Path, sampling: str) -> None:
    text = small_config.read_text()
    small_config.write_text(text.replace("[training]", f'[training]\nsampling = "{sampling}"'))
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    assert run(*FIT, "--config", small_config, "--out", one.path).returncode == 0
    done = run(*TORCHRUN, *FIT, "--config", small_config, "--out", two.path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch   1/4") == 1
    ours, theirs = load_checkpoint(two.last), load_checkpoint(one.last)
    for name, wanted in theirs.weights.items():
        torch.testing.assert_close(ours.weights[name], wanted, rtol=0, atol=TOLERANCE)
    assert ours.state is not None
    assert theirs.state is not None
    carried = ours.state.memory.carried, theirs.state.memory.carried
    assert (carried[0] is None) == (carried[1] is None) == (sampling == "crops")
    if sampling == "carried":
        torch.testing.assert_close(*carried, rtol=0, atol=10 * TOLERANCE)
    lines = [
        [json.loads(line) for line in folder.log.read_text().splitlines()] for folder in (two, one)
    ]
    for line, wanted_line in zip(*lines, strict=True):
        assert line.keys() == wanted_line.keys()
        for name in line.keys() - {"speed_steps_per_second"}:
            assert line[name] == pytest.approx(wanted_line[name], rel=1e-3, abs=1e-3), name


def test_shares_are_the_whole() -> None:
    import numpy as np

    from training.data.sequences import Sequence

    sequences = tuple(
        Sequence(str(n), np.arange(n), np.full((n, 1), n, np.float32), np.zeros(n, np.int64))
        for n in (3, 9, 20)
    )
    batch = CropSampler(sequences, lanes=7, crop_steps=5, seed=1).batch(0)
    shares = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert torch.equal(torch.cat([share.inputs for share in shares], dim=1), batch.inputs)
    assert torch.equal(torch.cat([share.weights for share in shares], dim=1), batch.weights)
    assert all(share.real.shape[1] >= 2 for share in shares)
