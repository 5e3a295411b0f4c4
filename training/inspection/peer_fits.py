"""The fitting of the peers, the way the run itself was fitted, once.

Owns the fits that are kept in the run's folder, and when one that is kept may be used again.
"""

import copy
import io
import json
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import TrainingConfig
from training.epoch import EpochFigures, summarise
from training.evaluate import evaluate
from training.files import replacing
from training.fit import goes_on, kept_epoch, train_epoch
from training.fitted import FittedRun
from training.inspection.peers import PeerKind, PeerNetwork, make_peer
from training.lanes import choose_sampler
from training.objective import Objective
from training.progress import Progress
from training.trainer import Trainer


@dataclass(frozen=True)
class FittedPeer:
    """A peer with its best weights.

    Attributes:
        network: the peer.
        epochs: how many it was fitted.
        validation: the objective's figures there, of the epoch that was kept.
    """

    network: PeerNetwork
    epochs: int
    validation: dict[str, float]


def fit_peer(
    kind: PeerKind, run: FittedRun, objective: Objective, epochs: int | None = None
) -> FittedPeer:
    """Fits a peer on the run's data, with its batches, schedule, seed and early stopping.

    Args:
        kind: which peer.
        run: whose peer.
        objective: of the run.
        epochs: at most so many, the schedule laid over them; None is as many as the run's.

    Returns:
        The peer; the one that an earlier inspection fitted, where nothing has changed.

    Raises:
        RunError: the fit diverged.
    """
    settings = run.config.training
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    path = run.folder.inspection / f"{kind.replace(' ', '_').lower()}.pt"
    key = _key(run, settings)
    peer = make_peer(kind, run.checkpoint.network(), run.config.seed)
    kept = _read(path)
    if kept is None or kept.get("key") != key:
        kept = {"key": key, **_fit(peer, run, objective, settings)}
        _write(path, kept)
    peer.load_state_dict(kept["weights"])
    return FittedPeer(peer, kept["epochs"], kept["validation"])


def _key(run: FittedRun, settings: TrainingConfig) -> str:
    """All that decides a peer's weights, the scaling by way of the data and its split."""
    config = run.config
    return json.dumps(
        {
            "data": run.dataset.digest,
            "split": asdict(config.split),
            "network": asdict(config.network),
            "training": asdict(settings),
            "augmentation": asdict(config.augmentation),
            "seed": config.seed,
            "threads": torch.get_num_threads(),
            "torch": version("torch"),
        }
    )


def _fit(
    peer: PeerNetwork, run: FittedRun, objective: Objective, settings: TrainingConfig
) -> dict[str, Any]:
    """Trains until the validation loss has not fallen for long enough."""
    # On the CPU in float32, whatever the run was fitted on: that is where peers are compared.
    settings = replace(settings, device="cpu", precision="float32")
    config = replace(run.config, training=settings)
    sampler = choose_sampler(config, run.split.training, run.dataset.features)
    peer.recurrence.dropout = settings.dropout
    trainer = Trainer(peer, objective, sampler, settings, run.config.seed)
    progress = Progress(settings, objective, [], title=peer.kind)
    epochs: list[EpochFigures] = []
    best: dict[str, Tensor] = {}
    try:
        while goes_on(settings, epochs):
            number = len(epochs) + 1
            updates, seconds = train_epoch(trainer, progress, number, settings.batches_per_epoch)
            validation = evaluate(peer, objective, run.split.validation)
            epochs.append(summarise(number, objective, updates, seconds, validation))
            progress.epoch(epochs[-1])
            if kept_epoch(settings, epochs) is epochs[-1]:
                best = copy.deepcopy(peer.state_dict())
    finally:
        progress.close()
    figures = kept_epoch(settings, epochs).validation
    return {"weights": best, "epochs": len(epochs), "validation": figures}


def _read(path: Path) -> dict[str, Any] | None:
    """What was kept; None where there is nothing, or nothing that can be used."""
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can make the reader stumble in any way; it is fitted again
        return None
    return kept if isinstance(kept, dict) else None


def _write(path: Path, kept: dict[str, Any]) -> None:
    stored = io.BytesIO()
    torch.save(kept, stored)
    with replacing(path) as temporary:
        temporary.write_bytes(stored.getbuffer())
