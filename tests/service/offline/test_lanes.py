import numpy as np
from fakes import STATE, FakeEngine, alone, distinct
from hypothesis import given, settings
from hypothesis import strategies as st

from service.offline.lanes import Lanes, Sequences


def side_by_side(lengths, initial, **changes):
    return Sequences(np.cumsum(lengths) - lengths, np.array(lengths), initial, **changes)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=20),
    max_batch=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_answers_depend_on_neither_company_nor_place(lengths, max_batch, seed):
    initial = np.array([seed, 0.5], np.float32)
    sequences = side_by_side(lengths, initial)
    features = distinct(sum(lengths), seed)
    engine, told = FakeEngine(max_batch), []

    answers = Lanes(engine).run(features, sequences, told.append)

    for start, length in zip(sequences.starts, lengths, strict=True):
        rows = slice(start, start + length)
        expected = alone(features[rows], initial[np.newaxis])
        assert answers[rows].tobytes() == expected.tobytes()
    assert sum(told) == sum(lengths) == sum(engine.calls)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(2, 50), min_size=1, max_size=12),
    max_batch=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_sequences_go_on_where_they_were_left(lengths, max_batch, seed):
    random = np.random.default_rng(seed)
    initial, count = np.array([3, 1], np.float32), len(lengths)
    # Some begin anew and are not kept; the others stand in places of no order.
    places = np.where(random.random(count) < 0.3, -1, random.permutation(count))
    kept = np.tile(initial, (count, 1))
    features = [distinct(length, seed + number) for number, length in enumerate(lengths)]
    cuts = [int(random.integers(1, length)) for length in lengths]
    engine, parts = FakeEngine(max_batch), []
    for piece in (slice(0, 1), slice(1, 2)):
        rows = [np.split(one, [cut])[piece][0] for one, cut in zip(features, cuts, strict=True)]
        sequences = side_by_side([len(one) for one in rows], initial, kept=kept, places=places)
        answers = Lanes(engine).run(np.concatenate(rows), sequences, lambda steps: None)
        parts.append(np.split(answers, np.cumsum(sequences.lengths)[:-1]))

    for number, one in enumerate(features):
        both = np.concatenate([parts[0][number], parts[1][number]])
        if places[number] >= 0:
            expected = alone(one, initial[np.newaxis])
        else:
            pieces = np.split(one, [cuts[number]])
            expected = np.concatenate([alone(piece, initial[np.newaxis]) for piece in pieces])
        assert both.tobytes() == expected.tobytes()


def test_what_an_engine_did_before_leaves_no_trace():
    engine = FakeEngine(2)
    engine.states[:] = 7
    features, initial = distinct(3, 1), np.zeros(STATE, np.float32)

    answers = Lanes(engine).run(features, side_by_side([3], initial), lambda steps: None)

    assert answers.tobytes() == alone(features).tobytes()
