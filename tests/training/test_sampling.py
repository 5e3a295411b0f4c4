import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.sequences import Sequence
from training.sampling import CropSampler, pad


def make(entity: int, steps: int) -> Sequence:
    """A sequence whose features say whose they are and when: (entity, step + 1)."""
    order = np.arange(steps)
    features = np.stack([np.full(steps, entity), order + 1], axis=1).astype(np.float32)
    return Sequence(str(entity), order, features, order % 3)


lengths = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@given(lengths=lengths)
def test_padding_is_masked_and_nothing_else(lengths: list[int]) -> None:
    sequences = [make(entity, steps) for entity, steps in enumerate(lengths)]
    batch = pad(sequences)
    assert batch.inputs.shape == (max(lengths), len(lengths), 2)
    assert batch.real.sum(0).tolist() == lengths
    for lane, sequence in enumerate(sequences):
        real = batch.real[:, lane]
        assert torch.equal(batch.inputs[real, lane], torch.from_numpy(sequence.features))
        assert torch.equal(batch.targets[real, lane], torch.from_numpy(sequence.targets))
        assert not batch.inputs[~real, lane].any()


@given(lengths=lengths, crop=st.integers(1, 25), seed=st.integers(0, 2**40))
def test_a_lane_is_one_piece_of_one_sequence(lengths: list[int], crop: int, seed: int) -> None:
    sequences = tuple(make(entity, steps) for entity, steps in enumerate(lengths))
    batch = CropSampler(sequences, lanes=7, crop_steps=crop, seed=seed).batch(3)
    for lane in range(7):
        steps = batch.inputs[batch.real[:, lane], lane]
        entity = int(steps[0, 0])
        assert torch.all(steps[:, 0] == entity)
        assert len(steps) == min(crop, lengths[entity])
        assert torch.all(steps[1:, 1] == steps[:-1, 1] + 1)


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    sequences = (make(0, 50), make(1, 80))
    sampler = CropSampler(sequences, lanes=8, crop_steps=10, seed=1)
    fifth = sampler.batch(5)
    sampler.batch(6)
    assert torch.equal(fifth.inputs, sampler.batch(5).inputs)
    assert not torch.equal(fifth.inputs, sampler.batch(6).inputs)
    assert not torch.equal(fifth.inputs, CropSampler(sequences, 8, 10, seed=2).batch(5).inputs)


def test_crops_reach_both_ends() -> None:
    batch = CropSampler((make(0, 12),), lanes=400, crop_steps=4, seed=0).batch(0)
    assert batch.inputs[:, :, 1].min() == 1
    assert batch.inputs[:, :, 1].max() == 12
