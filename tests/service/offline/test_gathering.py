"""Blocks on their way to a window."""

import numpy as np
import pyarrow as pa
import pytest

from service.offline.steps import Block, Gathering


def block(first, rows):
    numbers = np.arange(first, first + rows)
    problems = pa.array(
        [None if number % 3 else f"row {number}" for number in numbers.tolist()], pa.string()
    )
    return Block(
        pa.array(numbers // 4),
        pa.array(numbers % 4),
        np.stack([numbers, -numbers], axis=1).astype(np.float32),
        np.zeros(rows, np.int32),
        numbers,
        problems,
        problems,
    )


@pytest.mark.parametrize("sizes", [[7], [3, 1, 3], [1, 2]])
def test_blocks_become_one(sizes):
    held, first = Gathering(7), 0
    for size in sizes:
        held.add(block(first, size))
        first += size
    assert held.rows == first
    whole, expected = held.take(), block(0, first)

    assert held.rows == 0
    assert whole.features.tobytes() == expected.features.tobytes()
    assert whole.numbers.tolist() == expected.numbers.tolist()
    assert whole.files.tolist() == expected.files.tolist()
    for name in ("entities", "order", "columns", "problems"):
        assert getattr(whole, name).equals(getattr(expected, name))


def test_what_was_gathered_holds_nothing_of_the_blocks():
    # One buffer for all, as a batch of an Arrow file has.
    before = pa.total_allocated_bytes()
    held = Gathering(40_000)
    for first in (0, 20_000):
        given = block(first, 20_000)
        large = pa.array(np.arange(10**6))
        held.add(
            Block(large.slice(0, 20_000), *(vars(given)[name] for name in list(vars(given))[1:]))
        )
        del given, large
    whole = held.take()

    assert len(whole) == 40_000
    assert pa.total_allocated_bytes() - before < 4_000_000
