import pickle
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import Checkpoint, load_checkpoint, load_trained, save_checkpoint
from training.errors import CheckpointError
from training.network import RecurrentNetwork, Shape, initialise
from training.trained import Channel


@pytest.fixture
def checkpoint() -> Checkpoint:
    shape = Shape(2, 3, 4, 1, reset_after=True, bias=True)
    network = RecurrentNetwork(shape)
    initialise(network, torch.Generator().manual_seed(1))
    return Checkpoint(
        name="n",
        shape=shape,
        weights=network.state_dict(),
        features=(Channel("a", "g"), Channel("b")),
        labels=("x", "y", "z"),
        steps_per_second=4.0,
        data_digest="sha256:00",
        config='name = "n"\n',
        metrics={"test_accuracy_percent": 97.5},
        versions={"torch": "2"},
    )


def test_what_is_saved_is_loaded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "best.pt")
    for name, weights in checkpoint.weights.items():
        assert torch.equal(loaded.weights[name], weights)
    assert replace(loaded, weights={}) == replace(checkpoint, weights={})

    trained = load_trained(tmp_path)
    assert np.array_equal(trained.network.head_weight, checkpoint.weights["head.weight"])
    assert trained.outputs == (Channel("x"), Channel("y"), Channel("z"))
    assert trained.metrics == {"test_accuracy_percent": 97.5}


def test_a_failed_save_keeps_the_one_before(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()

    # Every byte above the limit is refused, as on a full disk.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(path, checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Danger:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_files_that_are_not_ours(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path, harm = tmp_path / "best.pt", tmp_path / "harm"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for content, message in [
        (whole[: len(whole) // 2], "damaged or foreign checkpoint"),
        (b"", "damaged or foreign checkpoint"),
        (b"hello", "damaged or foreign checkpoint"),
        (pickle.dumps(Danger(harm)), "damaged or foreign checkpoint"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as raised:
            load_trained(tmp_path)
        assert "\n" not in str(raised.value)
    assert not harm.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": 1}, "not a Statewise checkpoint"),
        ([1, 2], "not a Statewise checkpoint"),
        ({"format": "statewise.checkpoint", "version": 99}, "checkpoint version 99.*reads 3"),
        ({"format": "statewise.checkpoint", "version": 3}, "damaged checkpoint: 'shape'"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, content, message: str) -> None:
    torch.save(content, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=message):
        load_trained(tmp_path)


def test_weights_of_another_shape_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shape = replace(checkpoint.shape, hidden=5)
    save_checkpoint(tmp_path / "best.pt", replace(checkpoint, shape=shape))
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        load_trained(tmp_path)


def test_a_missing_checkpoint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint.*training fit --config"):
        load_trained(tmp_path / "nowhere")


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "best.pt").touch()
    monkeypatch.setattr(torch, "load", denied)
    with pytest.raises(CheckpointError, match="can't be read: Permission denied; give this user"):
        load_checkpoint(tmp_path / "best.pt")
