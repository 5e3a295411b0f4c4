"""A whole fit, from the configuration to the tested checkpoint.

Owns the order of things: load, split, scale, train with early stopping, test once. The parts are in
modules of their own.
"""

import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import torch

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config
from training.config_file import format_config
from training.data.load import load_dataset
from training.data.scaling import fit_scaling
from training.data.sequences import Dataset
from training.data.splits import Split, split_by_time
from training.epoch import EpochFigures, summarise
from training.evaluate import evaluate
from training.files import replace_text
from training.network import RecurrentNetwork, Shape, initialise
from training.pictures import draw_confusion, draw_loss
from training.progress import Progress
from training.run_folder import RunFolder
from training.sampling import CropSampler
from training.trainer import Trainer, Update


@dataclass(frozen=True)
class _Job:
    """What every part of a fit needs."""

    config: Config
    dataset: Dataset
    split: Split
    folder: RunFolder


def fit(config: Config, folder: RunFolder, *, force: bool = False) -> dict[str, float]:
    """Fits, tests and saves a network.

    Args:
        config: what to do.
        folder: where the results go.
        force: replace a finished run that is there.

    Returns:
        The run's final figures, each name ending in its unit.

    Raises:
        TrainingError: the data can't be used, the folder is taken, or the fit diverged.
    """
    started = time.perf_counter()
    dataset = load_dataset(config.data)
    split = split_by_time(dataset, config.split)
    network = _make_network(config, dataset, split)
    folder.clear(force=force)
    replace_text(folder.config, format_config(config))
    job = _Job(config, dataset, split, folder)
    epochs = _train(job, network)
    return _finish(job, epochs, started)


def _make_network(config: Config, dataset: Dataset, split: Split) -> RecurrentNetwork:
    """A network at its start, scaled to the training part."""
    shape = Shape(
        features=len(dataset.features), outputs=len(dataset.labels), **asdict(config.network)
    )
    network = RecurrentNetwork(shape)
    initialise(network, torch.Generator().manual_seed(config.seed))
    scaling = fit_scaling(split.training, dataset.features)
    network.input_mean.copy_(torch.from_numpy(scaling.mean))
    network.input_scale.copy_(torch.from_numpy(scaling.scale))
    return network


def _train(job: _Job, network: RecurrentNetwork) -> list[EpochFigures]:
    """Trains until the validation loss has not fallen for long enough; logs every epoch."""
    settings = job.config.training
    sampler = CropSampler(job.split.training, settings.lanes, settings.crop_steps, job.config.seed)
    trainer = Trainer(network, sampler, settings)
    progress = Progress(settings)
    epochs: list[EpochFigures] = []
    try:
        for epoch in range(1, settings.epochs + 1):
            updates, seconds = _train_epoch(trainer, progress, epoch, settings.batches_per_epoch)
            validation = evaluate(network, job.split.validation)
            epochs.append(summarise(epoch, updates, seconds, validation))
            progress.epoch(epochs[-1])
            _log(job, network, epochs)
            if epoch - best_epoch(epochs).epoch >= settings.patience_epochs:
                break
    finally:
        progress.close()
    return epochs


def best_epoch(epochs: list[EpochFigures]) -> EpochFigures:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(epochs, key=lambda figures: figures.validation_loss_nats_per_step)


def _train_epoch(
    trainer: Trainer, progress: Progress, epoch: int, batches: int
) -> tuple[list[Update], float]:
    """The updates of one epoch, and the seconds that they took."""
    updates = []
    started = before = time.perf_counter()
    for number in range((epoch - 1) * batches, epoch * batches):
        updates.append(trainer.update(number))
        now = time.perf_counter()
        progress.update(updates[-1], now - before)
        before = now
    return updates, before - started


def _log(job: _Job, network: RecurrentNetwork, epochs: list[EpochFigures]) -> None:
    """Writes the newest epoch's line and checkpoints."""
    newest = epochs[-1]
    with job.folder.log.open("a", encoding="utf-8") as log:
        log.write(json.dumps(asdict(newest)) + "\n")
    checkpoint = _checkpoint(job, network, newest)
    save_checkpoint(job.folder.last, checkpoint)
    if best_epoch(epochs) is newest:
        save_checkpoint(job.folder.best, checkpoint)


def _checkpoint(job: _Job, network: RecurrentNetwork, figures: EpochFigures) -> Checkpoint:
    return Checkpoint(
        name=job.config.name,
        shape=network.shape,
        weights=network.state_dict(),
        features=job.dataset.features,
        labels=job.dataset.labels,
        steps_per_second=job.config.steps_per_second,
        data_digest=job.dataset.digest,
        config=format_config(job.config),
        metrics={
            "validation_loss_nats_per_step": figures.validation_loss_nats_per_step,
            "validation_accuracy_percent": figures.validation_accuracy_percent,
        },
        versions={
            "python": platform.python_version(),
            **{library: version(library) for library in ("torch", "numpy", "pyarrow")},
        },
    )


def _finish(job: _Job, epochs: list[EpochFigures], started: float) -> dict[str, float]:
    """Tests the best checkpoint, once, and writes figures and pictures."""
    folder = job.folder
    best = load_checkpoint(folder.best)
    test = evaluate(best.network(), job.split.test)
    metrics = best.metrics | {
        "test_loss_nats_per_step": test.loss,
        "test_accuracy_percent": test.accuracy_percent,
        "test_length_steps": float(test.steps),
        "fit_time_seconds": time.perf_counter() - started,
    }
    save_checkpoint(folder.best, replace(best, metrics=metrics))
    draw_loss(folder.loss_picture, epochs, best_epoch(epochs).epoch)
    draw_confusion(folder.confusion_picture, test, job.dataset.labels)
    replace_text(folder.metrics, json.dumps(metrics, indent=2) + "\n")
    return metrics
