import numpy as np
import pyarrow as pa
import pytest

from service.offline import ranges
from service.offline.ranges import Sample, range_of


@pytest.mark.parametrize("most", [2_000, 10**9])
def test_ranges_have_about_as_many_rows_each(monkeypatch, most):
    monkeypatch.setattr(ranges, "_MOST", most)
    random, sample = np.random.default_rng(2), Sample()
    lengths = np.clip(random.lognormal(3, 1, 2_000), 1, 500).astype(int)
    entities = random.permutation(np.repeat(np.arange(2_000), lengths))
    for start in range(0, len(entities), 1_000):
        sample.add(pa.array([f"d{number:04}" for number in entities[start : start + 1_000]]))

    bounds = sample.bounds(7)
    keys = pa.array([f"d{number:04}" for number in entities])
    rows = np.bincount(range_of(keys, bounds))

    assert len(rows) == 7
    assert rows.max() < 1.3 * len(entities) / 7


def test_an_entity_is_in_one_range_however_many_rows_it_has():
    sample = Sample()
    entities = pa.array([1] * 900 + [2] * 100, pa.int64())
    sample.add(entities)

    owners = range_of(entities, sample.bounds(5))

    assert len(set(owners[:900].tolist())) == len(set(owners[900:].tolist())) == 1


def test_a_range_begins_with_its_bound():
    owners = range_of(pa.array(["a", "b", "c", "d", "e"]), pa.array(["b", "d"], pa.large_binary()))

    assert owners.tolist() == [0, 1, 1, 2, 2]
