"""Lanes that hold several sequences: what is in them, and where each begins."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.sequences import Sequence
from training.lanes import CarryingSampler, WholeSampler
from training.sampling import Batch

lengths = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def make(entity: int, steps: int) -> Sequence:
    """A sequence whose features say whose they are and when: (entity, step)."""
    order = np.arange(steps)
    features = np.stack([np.full(steps, entity), order], axis=1).astype(np.float32)
    return Sequence(str(entity), order, features, order % 3)


def make_all(lengths: list[int]) -> tuple[Sequence, ...]:
    return tuple(make(entity, steps) for entity, steps in enumerate(lengths))


def marks(batches: list[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and starts of some batches, end to end."""
    boundaries = [batch.boundaries for batch in batches if batch.boundaries is not None]
    assert len(boundaries) == len(batches)
    starts = torch.cat([each.starts for each in boundaries])
    return torch.cat([batch.inputs for batch in batches]), starts


@given(lengths=lengths, chunk=st.integers(1, 25), first=st.integers(0, 50), seed=st.integers(0, 99))
def test_carried_lanes_go_through_whole_sequences_without_padding(
    lengths: list[int], chunk: int, first: int, seed: int
) -> None:
    sampler = CarryingSampler(make_all(lengths), lanes=3, chunk_steps=chunk, seed=seed)
    batches = [sampler.batch(number) for number in range(first, first + 4)]
    assert all(batch.real.all() for batch in batches)
    steps, starts = marks(batches)
    assert torch.equal(starts, steps[..., 1] == 0)
    before, after = steps[:-1], steps[1:]
    goes_on = (after[..., 0] == before[..., 0]) & (after[..., 1] == before[..., 1] + 1)
    ends = before[..., 1] + 1 == torch.tensor(lengths)[before[..., 0].long()]
    assert torch.equal(goes_on | starts[1:], torch.ones_like(goes_on))
    assert torch.equal(starts[1:], ends)


def test_each_pass_of_a_lane_holds_every_sequence_once() -> None:
    lengths = [5, 9, 2, 4]
    sampler = CarryingSampler(make_all(lengths), lanes=2, chunk_steps=10, seed=1)
    steps, starts = marks([sampler.batch(number) for number in range(6)])
    orders = set()
    for lane in range(2):
        for turn in range(3):
            part = slice(20 * turn, 20 * turn + 20)
            order = steps[part, lane, 0][starts[part, lane]].int().tolist()
            assert sorted(order) == [0, 1, 2, 3]
            orders.add(tuple(order))
    assert len(orders) > 1


@given(lengths=lengths, seed=st.integers(0, 99))
def test_whole_sequences_stand_end_to_end(lengths: list[int], seed: int) -> None:
    batch = WholeSampler(make_all(lengths), lanes=4, seed=seed).batch(3)
    _, starts = marks([batch])
    for lane in range(4):
        steps = batch.inputs[batch.real[:, lane], lane]
        begins = [*starts[:, lane].nonzero().flatten().tolist(), len(steps)]
        for a, b in itertools.pairwise(begins):
            entity = int(steps[a, 0])
            assert steps[a:b, 0].unique().tolist() == [entity]
            assert steps[a:b, 1].tolist() == list(range(lengths[entity]))


def test_room_beside_a_long_sequence_is_filled() -> None:
    sampler = WholeSampler(make_all([100, *[7] * 20]), lanes=8, seed=1)
    batches = [sampler.batch(number) for number in range(20)]
    shares = [float(batch.real.double().mean()) for batch in batches if len(batch.real) == 100]
    assert len(shares) > 3
    assert min(shares) > 0.9
