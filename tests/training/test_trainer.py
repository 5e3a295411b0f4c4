import numpy as np
import pytest
import torch

from training.config import TrainingConfig
from training.data.sequences import Sequence
from training.errors import RunError
from training.network import RecurrentNetwork, Shape, initialise
from training.objective import ClassObjective
from training.sampling import CropSampler
from training.trainer import Trainer, learning_rate


def make_trainer(config: TrainingConfig, scale: float = 1.0) -> tuple[Trainer, RecurrentNetwork]:
    draw = np.random.default_rng(5)
    sequences = tuple(
        Sequence(
            str(steps),
            np.arange(steps),
            (scale * draw.normal(size=(steps, 2))).astype(np.float32),
            draw.integers(0, 2, size=steps),
        )
        for steps in (3, 30)
    )
    network = RecurrentNetwork(Shape(2, 2, 4, 1, reset_after=False, bias=True))
    initialise(network, torch.Generator().manual_seed(1))
    sampler = CropSampler(sequences, config.lanes, config.crop_steps, seed=1)
    return Trainer(network, ClassObjective(), sampler, config), network


def test_the_schedule_rises_and_falls() -> None:
    config = TrainingConfig(epochs=10, batches_per_epoch=10, learning_rate=1.0, warmup_fraction=0.1)
    rates = [learning_rate(config, number) for number in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001


def test_without_warmup_the_schedule_begins_at_its_highest() -> None:
    config = TrainingConfig(learning_rate=0.3, warmup_fraction=0.0)
    assert learning_rate(config, 0) == pytest.approx(0.3)


def test_clipping_bounds_the_gradient_that_is_used() -> None:
    config = TrainingConfig(clip_norm=1e-3, lanes=6, crop_steps=10)
    trainer, network = make_trainer(config)
    update = trainer.update(0)
    used = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert update.gradient_norm > 1e-3
    assert used.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_padding_is_counted_apart() -> None:
    trainer, _ = make_trainer(TrainingConfig(lanes=40, crop_steps=10))
    update = trainer.update(0)
    assert update.steps + update.padded_steps == 40 * 10
    assert update.padded_steps % 7 == 0
    assert update.padded_steps > 0


def test_a_fit_that_diverges_is_stopped() -> None:
    trainer, network = make_trainer(TrainingConfig(lanes=4, crop_steps=5))
    with torch.no_grad():
        network.head.weight.fill_(torch.inf)
    with pytest.raises(RunError, match=r"gradient became nan; lower training\.learning_rate"):
        trainer.update(0)
