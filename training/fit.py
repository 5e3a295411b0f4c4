"""A whole fit, from the configuration to the tested checkpoint.

Owns the order of things: load, split, scale, train with early stopping, test once; and that a run
which was killed goes on where it was. The parts are in modules of their own.
"""

import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import torch

from training.checkpoint import Checkpoint, FitState, load_checkpoint, save_checkpoint
from training.config import Config, TrainingConfig
from training.config_file import format_config
from training.data.load import load_dataset
from training.data.scaling import fit_scaling, fit_target_scaling
from training.data.sequences import Dataset
from training.data.splits import Split, check_targets, make_split
from training.device import choose_device
from training.epoch import EpochFigures, summarise
from training.errors import RunError
from training.evaluate import evaluate
from training.events import write_events
from training.files import replace_text
from training.lanes import choose_sampler
from training.network import RecurrentNetwork, Shape, initialise
from training.objective import Objective, choose_objective
from training.pictures import draw_confusion, draw_labels, draw_loss, draw_residuals
from training.processes import Processes, joined
from training.progress import Progress
from training.resume import find_unfinished
from training.run_folder import RunFolder
from training.trainer import Memory, Trainer, Update


@dataclass(frozen=True)
class _Job:
    """What every part of a fit needs; `started` is as if the fit had never been interrupted."""

    config: Config
    dataset: Dataset
    split: Split
    objective: Objective
    folder: RunFolder
    started: float
    processes: Processes


def fit(config: Config, folder: RunFolder, *, force: bool = False) -> dict[str, float]:
    """Fits, tests and saves a network; goes on with an unfinished run that is there.

    A run that was killed at any moment ends with the same weights, bit for bit on the CPU, as if it
    had not been. Started by torchrun, it fits with all processes that were started with it.

    Args:
        config: what to do.
        folder: where the results go.
        force: begin anew, whatever is there.

    Returns:
        The run's final figures, each name ending in its unit; none in processes but the first.

    Raises:
        TrainingError: the data can't be used, the folder is taken or can't be written, or the fit
            diverged.
    """
    with joined() as processes:
        metrics = _fit(config, folder, force, processes)
        # Together, since gloo does not bear that one leaves while another still works.
        processes.wait()
        return metrics


def _fit(config: Config, folder: RunFolder, force: bool, processes: Processes) -> dict[str, float]:
    started = time.perf_counter()
    if not force:
        folder.refuse_finished()
    with processes.first_alone():
        dataset = load_dataset(config.data)
    split = make_split(dataset, config.split, config.seed)
    check_targets(split)
    network = _make_network(config, dataset, split).to(choose_device(config.training.device))
    unfinished = None if force else find_unfinished(folder, config, dataset.digest)
    state = None if unfinished is None else unfinished.state
    objective = choose_objective(config.data.kind, dataset.labels, dataset.units, network)
    started -= state.seconds if state else 0.0
    job = _Job(config, dataset, split, objective, folder, started, processes)
    if unfinished is not None:
        network.load_state_dict(unfinished.weights)
    # All have looked at the folder; now it may change.
    processes.wait()
    try:
        if processes.leads:
            _prepare(job, goes_on=unfinished is not None)
        epochs = _train(job, network, state)
        return _finish(job, epochs) if processes.leads else {}
    except OSError as error:
        raise RunError(
            f"--out {folder.path} can't be written: {error.strerror}; what was saved before is "
            "whole: make room, and give the same command again"
        ) from error


def _prepare(job: _Job, *, goes_on: bool) -> None:
    """Makes the folder ready."""
    if goes_on:
        job.folder.sweep()
    else:
        job.folder.clear()
        replace_text(job.folder.config, format_config(job.config))


def _make_network(config: Config, dataset: Dataset, split: Split) -> RecurrentNetwork:
    """A network at its start, scaled to the training part."""
    shape = Shape(
        features=len(dataset.features), outputs=len(dataset.labels), **asdict(config.network)
    )
    network = RecurrentNetwork(shape)
    network.gru.dropout = config.training.dropout
    initialise(network, torch.Generator().manual_seed(config.seed))
    scaling = fit_scaling(split.training, dataset.features)
    network.input_mean.copy_(torch.from_numpy(scaling.mean))
    network.input_scale.copy_(torch.from_numpy(scaling.scale))
    if config.data.kind == "regression":
        scaling = fit_target_scaling(split.training, dataset.labels)
        network.output_mean.copy_(torch.from_numpy(scaling.mean))
        network.output_scale.copy_(torch.from_numpy(scaling.scale))
    return network


def _train(job: _Job, network: RecurrentNetwork, state: FitState | None) -> list[EpochFigures]:
    """Trains until the validation loss has not fallen for long enough; logs every epoch."""
    settings = job.config.training
    sampler = choose_sampler(job.config, job.split.training, job.dataset.features)
    trainer = Trainer(network, job.objective, sampler, settings, job.config.seed, job.processes)
    epochs = list(state.epochs) if state else []
    if state:
        trainer.remember(state.memory)
    progress = Progress(settings, job.objective, epochs, quiet=not job.processes.leads)
    if job.processes.leads:
        _write_log(job.folder, epochs)
    try:
        while goes_on(settings, epochs):
            epoch = len(epochs) + 1
            updates, seconds = train_epoch(trainer, progress, epoch, settings.batches_per_epoch)
            validation = evaluate(network, job.objective, job.split.validation)
            epochs.append(summarise(epoch, job.objective, updates, seconds, validation))
            progress.epoch(epochs[-1])
            memory = trainer.memory()
            if job.processes.leads:
                _save(job, network, memory, epochs)
    finally:
        progress.close()
    return epochs


def goes_on(settings: TrainingConfig, epochs: list[EpochFigures]) -> bool:
    """Whether another epoch is due: the first, or one that is allowed and not yet hopeless."""
    if not epochs:
        return True
    waited = len(epochs) - kept_epoch(settings, epochs).epoch
    return len(epochs) < settings.epochs and waited < settings.patience_epochs


def kept_epoch(settings: TrainingConfig, epochs: list[EpochFigures]) -> EpochFigures:
    """The epoch whose weights are kept.

    It is the newest where that is configured, otherwise that with the lowest validation loss, the
    earliest of equals.
    """
    if settings.keep == "last":
        return epochs[-1]
    return min(epochs, key=lambda figures: figures.validation_loss)


def train_epoch(
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


def _save(job: _Job, network: RecurrentNetwork, memory: Memory, epochs: list[EpochFigures]) -> None:
    """Writes the newest epoch's line and checkpoints."""
    _write_log(job.folder, epochs)
    checkpoint = _checkpoint(job, network, epochs[-1])
    # The best before the last: killed between the two, the run makes this epoch again, and the
    # same best with it. The other way round, the best would be lost.
    if kept_epoch(job.config.training, epochs) is epochs[-1]:
        save_checkpoint(job.folder.best, checkpoint)
    seconds = time.perf_counter() - job.started
    state = FitState(tuple(epochs), memory, seconds)
    save_checkpoint(job.folder.last, replace(checkpoint, state=state))


def _write_log(folder: RunFolder, epochs: list[EpochFigures]) -> None:
    lines = [json.dumps(figures.line()) + "\n" for figures in epochs]
    replace_text(folder.log, "".join(lines))
    write_events(folder.events, epochs)


def _checkpoint(job: _Job, network: RecurrentNetwork, figures: EpochFigures) -> Checkpoint:
    return Checkpoint(
        name=job.config.name,
        shape=network.shape,
        weights={name: weight.cpu() for name, weight in network.state_dict().items()},
        features=job.dataset.features,
        labels=job.dataset.labels,
        steps_per_second=job.config.steps_per_second,
        data_digest=job.dataset.digest,
        config=format_config(job.config),
        metrics=figures.validation_figures(),
        kind=job.config.data.kind,
        units=job.dataset.units,
        versions={
            "python": platform.python_version(),
            **{library: version(library) for library in ("torch", "numpy", "pyarrow")},
        },
    )


def _finish(job: _Job, epochs: list[EpochFigures]) -> dict[str, float]:
    """Tests the best checkpoint, once and on the CPU, and writes figures and pictures."""
    folder = job.folder
    best = load_checkpoint(folder.best)
    network = best.network()
    objective = choose_objective(best.kind, best.labels, best.units, network)
    test = evaluate(network, objective, job.split.test)
    figures = objective.figures(test)
    metrics = best.metrics | {
        **{f"test_{name}": value for name, value in figures.items()},
        "test_length_steps": float(sum(len(sequence) for sequence in job.split.test)),
        "fit_time_seconds": time.perf_counter() - job.started,
    }
    save_checkpoint(folder.best, replace(best, metrics=metrics))
    draw_loss(folder.loss_picture, epochs, kept_epoch(job.config.training, epochs).epoch)
    if job.config.data.kind == "class":
        draw_confusion(folder.confusion_picture, test, best.labels)
    elif job.config.data.kind == "regression":
        draw_residuals(folder.residual_picture, network, job.split.test, best.outputs)
    else:
        draw_labels(folder.labels_picture, test, best.labels)
    replace_text(folder.metrics, json.dumps(metrics, indent=2) + "\n")
    return metrics
