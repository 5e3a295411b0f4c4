"""Fits on other devices and with narrower products."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.config import Config
from training.config_file import read_config
from training.device import choose_device
from training.errors import ConfigError
from training.fit import fit
from training.run_folder import RunFolder

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU for CUDA")


def with_training(path: Path, **settings: object) -> Config:
    config = read_config(path)
    return replace(config, training=replace(config.training, **settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_by_anything() -> None:
    with pytest.raises(ConfigError, match=r"training\.device = 'cuda': torch .* set it to 'cpu'"):
        choose_device("cuda")


def test_mixed_precision_fits_float32_weights_nearly_as_well(
    small_config: Path, tmp_path: Path
) -> None:
    results = {}
    for precision in ("float32", "bfloat16"):
        config = with_training(small_config, precision=precision)
        folder = RunFolder(tmp_path / precision)
        results[precision] = fit(config, folder)
        weights = torch.load(folder.best, weights_only=True)["weights"]
        assert {weight.dtype for weight in weights.values()} == {torch.float32}
        results[precision]["first"] = weights["gru.layers.0.gate_weight"][0, 0].item()
    wide, narrow = results["float32"], results["bfloat16"]
    assert wide["first"] != narrow["first"]
    assert narrow["test_accuracy_percent"] > wide["test_accuracy_percent"] - 5
    assert wide["test_accuracy_percent"] > 80


@needs_gpu
@pytest.mark.parametrize("sampling", ["crops", "carried"])
def test_a_fit_on_a_gpu_gives_what_the_cpu_gives(
    sampling: str, small_config: Path, tmp_path: Path
) -> None:
    found = []
    for device in ("cpu", "cuda"):
        config = with_training(small_config, device=device, sampling=sampling, epochs=2)
        found.append(fit(config, RunFolder(tmp_path / device))["validation_loss_nats_per_step"])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@needs_gpu
def test_a_fit_on_a_gpu_goes_on_where_it_was(small_config: Path, tmp_path: Path) -> None:
    config = with_training(small_config, device="cuda", sampling="carried")
    whole = fit(config, RunFolder(tmp_path / "whole"))
    folder = RunFolder(tmp_path / "cut")
    seen = []

    def stop(*_: object) -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.progress.Progress.epoch", stop)
        fit(config, folder)
    again = fit(config, folder)
    name = "validation_loss_nats_per_step"
    assert again[name] == pytest.approx(whole[name], rel=1e-3)
