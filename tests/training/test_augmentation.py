"""Turned vectors: what is kept, what is varied, and what a configuration may ask for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.augmentation import choose_variation, rotation, unchanged
from training.config import AugmentationConfig
from training.config_file import read_config
from training.data.sequences import Sequence
from training.errors import ConfigError
from training.lanes import CarryingSampler, WholeSampler
from training.sampling import CropSampler
from training.trained import Channel

# Two vectors of three components each, and a channel that is none.
NAMES = ("a_x_0", "heat", "a_y_0", "a_z_0", "b_z_0", "b_x_0", "b_y_0")
CHANNELS = tuple(Channel(name) for name in NAMES)
FIRST, SECOND = [0, 2, 3], [5, 6, 4]


def make(steps: int, seed: int = 0) -> Sequence:
    features = np.random.default_rng(seed).normal(size=(steps, 7)).astype(np.float32)
    return Sequence("s", np.arange(steps), features, np.zeros(steps, np.int64))


@pytest.fixture
def turning(small_config: Path):
    config = read_config(small_config)
    augmentation = AugmentationConfig(("_x_", "_y_", "_z_"), 40.0)
    return choose_variation(replace(config, augmentation=augmentation), CHANNELS)


def test_all_vectors_of_a_sequence_are_turned_alike_and_nothing_else(turning) -> None:
    sequence = make(9)
    before, after = sequence.features, turning(sequence, (3, 1)).features
    assert np.array_equal(before[:, 1], after[:, 1])
    # One matrix for both vectors and all steps, found from the first vector alone.
    turn = np.linalg.lstsq(before[:, FIRST], after[:, FIRST], rcond=None)[0]
    np.testing.assert_allclose(before[:, SECOND] @ turn, after[:, SECOND], atol=1e-5)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
    assert np.abs(turn - np.eye(3)).max() > 0.01
    assert sequence.features is before


def test_the_place_decides_the_turn(turning) -> None:
    sequence = make(4)
    once, again = turning(sequence, (3, 1)), turning(sequence, (3, 1))
    assert np.array_equal(once.features, again.features)
    others = [turning(sequence, place).features for place in [(3, 2), (4, 1), (3, 1, 0)]]
    assert not any(np.array_equal(once.features, other) for other in others)


def test_the_angle_has_the_spread_that_is_asked_for(turning) -> None:
    units = replace(make(7), features=np.eye(7, dtype=np.float32))
    turned = [turning(units, (number,)).features for number in range(400)]
    traces = [np.trace(each[np.ix_(FIRST, FIRST)]) for each in turned]
    angles = np.rad2deg(np.arccos(np.clip((np.array(traces) - 1) / 2, -1, 1)))
    assert np.sqrt(np.mean(angles**2)) == pytest.approx(40, rel=0.1)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    turned = rotation(np.array([0, 0, 2.0]), np.pi / 2) @ [1, 0, 0]
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-15)


def test_a_sequence_keeps_its_turn_from_chunk_to_chunk_and_changes_it_each_pass(turning) -> None:
    sampler = CarryingSampler((make(6),), 1, 3, 1, turning)
    chunks = [sampler.batch(number).inputs[:, 0].numpy() for number in range(4)]
    plain = make(6).features
    first = np.linalg.lstsq(plain[:3, FIRST], chunks[0][:, FIRST], rcond=None)[0]
    np.testing.assert_allclose(plain[3:, FIRST] @ first, chunks[1][:, FIRST], atol=1e-5)
    assert np.abs(plain[:3, FIRST] @ first - chunks[2][:, FIRST]).max() > 1e-3


@pytest.mark.parametrize("kind", ["crops", "whole"])
def test_lanes_and_batches_are_turned_differently(kind: str, turning) -> None:
    sequences = (make(5),)
    if kind == "crops":
        sampler = CropSampler(sequences, 2, 5, 1, turning)
    else:
        sampler = WholeSampler(sequences, 2, 1, turning)
    first, second = sampler.batch(0).inputs, sampler.batch(1).inputs
    assert not np.array_equal(first[:, 0], first[:, 1])
    assert not np.array_equal(first, second)
    assert np.array_equal(first, sampler.batch(0).inputs)


def test_without_a_turn_nothing_is_varied(small_config: Path) -> None:
    assert choose_variation(read_config(small_config), CHANNELS) is unchanged


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (("_x", "_y", "_q"), r"'a_x_0' would need a channel 'a_q_0' beside it"),
        (("u", "v", "w"), r"no channel's name holds 'u'; there are a_x_0, heat"),
    ],
)
def test_axes_that_name_no_vectors_are_refused(
    axes: tuple[str, ...], message: str, small_config: Path
) -> None:
    config = replace(read_config(small_config), augmentation=AugmentationConfig(axes, 5.0))
    with pytest.raises(ConfigError, match=message):
        choose_variation(config, CHANNELS)


@pytest.mark.parametrize(
    ("axes", "degrees", "message"),
    [
        ((), 5.0, "must be three parts of channel names"),
        (("x", "x", "y"), 5.0, "must be three parts of channel names"),
        (("x", "y", "z"), 181.0, "must be from 0 to 180"),
        (("x", "y", "z"), float("nan"), "must be from 0 to 180"),
    ],
)
def test_settings_out_of_range_are_refused(
    axes: tuple[str, ...], degrees: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentationConfig(axes, degrees)
