"""What is counted are real steps, each with its place."""

import numpy as np
import pytest

from training.data.sequences import Sequence
from training.inspection import traces
from training.inspection.gates import measure_gates
from training.inspection.traces import LayerSteps, RealSteps, trace_steps
from training.reference import forward


def sequences() -> tuple[Sequence, ...]:
    draw = np.random.default_rng(2)
    return tuple(
        Sequence(f"s{n}", np.arange(n), draw.normal(size=(n, 2)).astype("f4"), np.zeros(n, int))
        for n in (7, 3, 5)
    )


def test_every_real_step_is_there_once_and_no_padding(make_network) -> None:
    network = make_network(layers=2)
    steps = trace_steps(network, sequences(), seed=1)

    assert len(set(steps.places)) == len(steps.places) == 15
    for sequence in sequences():
        alone = forward(network, sequence.features[:, None].astype(np.float64))
        rows = [
            steps.places.index(f"'{sequence.entity}' step {step}") for step in range(len(sequence))
        ]
        for layer, expected in zip(steps.layers, alone.layers, strict=True):
            assert layer.z[rows] == pytest.approx(expected.z[:, 0], abs=1e-14)
            assert layer.before[rows] == pytest.approx(expected.states[:-1, 0], abs=1e-14)


def test_long_data_is_cut(make_network, monkeypatch) -> None:
    monkeypatch.setattr(traces, "MOST_STEPS", 9)
    assert len(trace_steps(make_network(), sequences(), seed=1).places) == 9


def test_a_draw_keeps_steps_and_places_together(make_network) -> None:
    steps = trace_steps(make_network(), sequences(), seed=1)
    drawn = steps.draw(4, seed=3)

    assert len(set(drawn.places)) == 4
    rows = [steps.places.index(place) for place in drawn.places]
    assert np.array_equal(drawn.layers[0].c, steps.layers[0].c[rows])


def test_shares_of_gates() -> None:
    z = np.array([[0.95, 0.05], [0.5, 0.01]])
    r = np.array([[0.95, 0.95], [0.02, 0.02]])
    nothing = np.zeros((2, 2))
    (use,) = measure_gates(RealSteps((LayerSteps(nothing, nothing, z, r, nothing),), ("a", "b")))

    assert use.shares == {
        "z > 0.9": 25.0,
        "z < 0.1": 50.0,
        "r > 0.9": 50.0,
        "r < 0.1": 50.0,
        "z < 0.1 and r < 0.1": 25.0,
        "z < 0.1 and r > 0.9": 25.0,
    }
    assert use.z.sum() == pytest.approx(100)
    assert use.z[-3] == 25.0
