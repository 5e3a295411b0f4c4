import numpy as np
from fakes import STATE, FakeEngine, alone, distinct
from hypothesis import given, settings
from hypothesis import strategies as st

from service.offline.lanes import run
from service.offline.sequences import Sequences


def interleaved(lengths, seed):
    """Sequences whose rows stand in any company; each keeps the order of its own."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.argsort(np.random.default_rng(seed).permutation(owners), kind="stable")
    return Sequences(rows, np.cumsum(lengths) - lengths, np.array(lengths))


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=20),
    max_batch=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_answers_depend_on_neither_company_nor_place(lengths, max_batch, seed):
    sequences = interleaved(lengths, seed)
    features = distinct(sum(lengths), seed)
    initial = np.array([seed, 0.5], np.float32)
    engine, told = FakeEngine(max_batch), []

    answers = run(engine, initial, features, sequences, told.append)

    for start, length in zip(sequences.starts, lengths, strict=True):
        rows = sequences.rows[start : start + length]
        expected = alone(features[rows], initial[np.newaxis])
        assert answers[rows].tobytes() == expected.tobytes()
    assert sum(told) == sum(lengths) == sum(engine.calls)


def test_what_an_engine_did_before_leaves_no_trace():
    engine = FakeEngine(2)
    engine.states[:] = 7
    features, initial = distinct(3, 1), np.zeros(STATE, np.float32)

    answers = run(engine, initial, features, interleaved([3], 0), lambda steps: None)

    assert answers.tobytes() == alone(features).tobytes()
