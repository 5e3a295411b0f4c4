"""Fitted weights on disk, with all that is needed to use them.

Owns the checkpoint's format. A checkpoint is written whole or not at all, and is read without
running any code that a foreign file may carry.
"""

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.convert import to_reference
from training.epoch import EpochFigures
from training.errors import CheckpointError
from training.files import replacing
from training.network import RecurrentNetwork, Shape
from training.objective import ACTIVATIONS
from training.run_folder import RunFolder
from training.trained import Channel, TrainedModel
from training.trainer import Memory

_FORMAT = "statewise.checkpoint"
_VERSION = 3


@dataclass(frozen=True)
class FitState:
    """What a fit needs beside the weights, to go on as if it had never stopped.

    Which batches come next, which epoch was best and how long patience lasts all follow from the
    epochs so far.

    Attributes:
        epochs: the figures of all epochs so far, in order.
        memory: what goes from one update to the next.
        seconds: time that the fit has taken so far.
    """

    epochs: tuple[EpochFigures, ...]
    memory: Memory
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """A fitted network and where it came from.

    Attributes:
        name: the model's name.
        shape: which weights there are.
        weights: by name, float32.
        features: the input's channels, in column order.
        labels: names of the outputs: the classes, in index order, or the target columns.
        steps_per_second: of real time; 0 where steps are not tied to time.
        data_digest: "sha256:<hex>" of the data set.
        config: the configuration, as TOML.
        metrics: figures by name, each name ending in its unit.
        versions: library name to version.
        kind: of target, as in the configuration.
        units: of the outputs; none for classes and labels.
        state: of the fit, in the newest checkpoint of a run; the others have none.
    """

    name: str
    shape: Shape
    weights: dict[str, Tensor]
    features: tuple[Channel, ...]
    labels: tuple[str, ...]
    steps_per_second: float
    data_digest: str
    config: str
    metrics: dict[str, float]
    versions: dict[str, str]
    kind: str = "class"
    units: tuple[str, ...] = ()
    state: FitState | None = None

    @property
    def outputs(self) -> tuple[Channel, ...]:
        """The output's channels."""
        units = self.units or ("",) * len(self.labels)
        return tuple(Channel(*pair) for pair in zip(self.labels, units, strict=True))

    def network(self) -> RecurrentNetwork:
        """The fitted network.

        Raises:
            RuntimeError: the weights are not those of the shape.
        """
        network = RecurrentNetwork(self.shape)
        network.load_state_dict(self.weights)
        return network


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; until it is wholly on disk, the one before it stays.

    Raises:
        OSError: it can't be written, where the disk is full for example.
    """
    content = asdict(checkpoint) | {"format": _FORMAT, "version": _VERSION}
    # By way of memory: torch's own writer hides why a file could not be written.
    stored = io.BytesIO()
    torch.save(content, stored)
    with replacing(path) as temporary:
        temporary.write_bytes(stored.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no checkpoint; fit one with "
            f"`python -m training fit --config FILE.toml --out {path.parent}`"
        )
    content = _read(path)
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise CheckpointError(f"{path}: not a Statewise checkpoint; give a run of `training fit`")
    version = content.pop("version", None)
    if version != _VERSION:
        raise CheckpointError(
            f"{path}: checkpoint version {version}, this program reads {_VERSION}; fit again"
        )
    try:
        content["shape"] = Shape(**content["shape"])
        content["features"] = tuple(Channel(**channel) for channel in content["features"])
        if (state := content.get("state")) is not None:
            state["epochs"] = tuple(EpochFigures(**figures) for figures in state["epochs"])
            state["memory"] = Memory(**state["memory"])
            content["state"] = FitState(**state)
        checkpoint = Checkpoint(**content)
        checkpoint.network()
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: damaged checkpoint: {reason}; fit again") from None
    return checkpoint


def load_trained(run: Path) -> TrainedModel:
    """Reads a run's best checkpoint as what an export needs.

    Args:
        run: the run's folder, such as runs/activity.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or not one of ours.
    """
    checkpoint = load_checkpoint(RunFolder(run).best)
    return TrainedModel(
        name=checkpoint.name,
        network=to_reference(checkpoint.network(), ACTIVATIONS[checkpoint.kind]),
        features=checkpoint.features,
        outputs=checkpoint.outputs,
        steps_per_second=checkpoint.steps_per_second,
        data_digest=checkpoint.data_digest,
        config=checkpoint.config,
        metrics=checkpoint.metrics,
        versions=checkpoint.versions,
    )


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(
            f"{path}: can't be read: {error.strerror}; give this user the right to read it"
        ) from None
    except Exception as error:  # a damaged file can make the reader stumble in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged or foreign checkpoint: {reason}") from None
