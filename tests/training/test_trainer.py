import itertools

import numpy as np
import pytest
import torch

from training.config import TrainingConfig
from training.data.sequences import Sequence
from training.errors import RunError
from training.lanes import CarryingSampler, WholeSampler
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
    return Trainer(network, ClassObjective(), sampler, config, seed=1), network


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


def test_carried_chunks_see_the_states_of_an_uncut_run() -> None:
    draw = np.random.default_rng(5)
    sequences = tuple(
        Sequence(
            str(steps),
            np.arange(steps),
            draw.normal(size=(steps, 2)).astype(np.float32),
            draw.integers(0, 2, size=steps),
        )
        for steps in (3, 11, 6)
    )
    network = RecurrentNetwork(Shape(2, 2, 4, 2, reset_after=False, bias=True))
    initialise(network, torch.Generator().manual_seed(1))
    config = TrainingConfig(lanes=1, crop_steps=4, learning_rate=1e-30, weight_decay=0.0)
    sampler = CarryingSampler(sequences, lanes=1, chunk_steps=4, seed=1)
    trainer = Trainer(network, ClassObjective(), sampler, config, seed=1)
    losses = [trainer.update(number).score.loss.item() for number in range(5)]
    # One pass over all sequences in the lane's order, each from zero state, without any chunk.
    steps = [sampler.batch(number) for number in range(5)]
    starts = torch.cat([batch.boundaries.starts for batch in steps if batch.boundaries])[:, 0]
    assert starts.sum() == 3
    inputs = torch.cat([batch.inputs for batch in steps])
    targets = torch.cat([batch.targets for batch in steps])[:, 0]
    begins = [*starts.nonzero().flatten().tolist(), len(inputs)]
    values = torch.cat([network(inputs[a:b])[0][:, 0] for a, b in itertools.pairwise(begins)])
    wanted = torch.nn.functional.cross_entropy(values, targets, reduction="none")
    assert losses == pytest.approx(wanted.reshape(5, 4).sum(1).tolist(), rel=1e-4)


def test_dropout_acts_between_layers_while_training_and_nowhere_else() -> None:
    network = RecurrentNetwork(Shape(2, 2, 4, 2, reset_after=False, bias=True))
    initialise(network, torch.Generator().manual_seed(1))
    sequence = Sequence("a", np.arange(9), np.ones((9, 2), np.float32), np.zeros(9, np.int64))

    def loss(dropout: float, number: int) -> float:
        config = TrainingConfig(lanes=1, learning_rate=1e-30, weight_decay=0.0)
        sampler = WholeSampler((sequence,), lanes=1, seed=1)
        network.gru.dropout = dropout
        trainer = Trainer(network, ClassObjective(), sampler, config, seed=1)
        return trainer.update(number).score.loss.item()

    assert loss(0.0, 0) == loss(0.0, 1)
    assert loss(0.5, 0) != loss(0.5, 1)
    assert loss(0.5, 0) == loss(0.5, 0)
    values, _ = network(torch.ones(9, 1, 2))
    assert torch.equal(values, network(torch.ones(9, 1, 2))[0])
