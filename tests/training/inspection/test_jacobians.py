"""The derivative from state to state is what its formula says, and a wrong formula is seen."""

from dataclasses import replace

import numpy as np
import pytest

from training.inspection import jacobians
from training.inspection.comparison import table
from training.inspection.jacobians import check_jacobians
from training.inspection.traces import LayerSteps, RealSteps
from training.reference import Network, forward


def trace(network: Network) -> RealSteps:
    inputs = np.random.default_rng(5).normal(size=(12, 1, network.features))
    layers = (
        LayerSteps(*(v[:, 0] for v in (one.inputs, one.states[:-1], one.z, one.r, one.c)))
        for one in forward(network, inputs).layers
    )
    return RealSteps(tuple(layers), tuple(f"step {step}" for step in range(12)))


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_all_cases_hold(make_network, reset_after: bool, bias: bool) -> None:
    network = make_network(layers=2, reset_after=reset_after, bias=bias, hidden=5)
    comparisons = check_jacobians(network, trace(network))

    assert len(comparisons) == 2 * 4 * 2
    assert all(comparison.passed for comparison in comparisons)
    assert {comparison.values for comparison in comparisons} == {12 * 5 * 5}
    exact = [one for one in comparisons if one.compared.startswith("autograd")]
    assert {one.worst_error for one in exact if "z = 1" in one.check} == {0.0}
    assert {one.worst_error for one in exact if "r = 0" in one.check} == {0.0}


def test_a_wrong_formula_is_seen_and_placed(make_network, monkeypatch) -> None:
    network = make_network(hidden=5)
    right = jacobians.whole_formula

    def wrong(*arguments) -> np.ndarray:
        values = right(*arguments)
        values[3, 1, 4] += 1e-3
        return values

    monkeypatch.setattr(jacobians, "whole_formula", wrong)
    comparisons = check_jacobians(network, trace(network))
    failed = [comparison for comparison in comparisons if not comparison.passed]

    assert {one.check for one in failed} == {"layer 1, gates as they are"}
    assert {one.where for one in failed} == {"step 3, row 1, column 4"}
    assert failed[0].worst_error == pytest.approx(1e-3)
    assert table(comparisons).count("FAILED") == 2


def test_what_is_no_number_fails(make_network) -> None:
    network = make_network(hidden=5)
    steps = trace(network)
    before = steps.layers[0].before.copy()
    before[2, 0] = np.nan
    spoilt = replace(steps, layers=(replace(steps.layers[0], before=before),))

    assert not check_jacobians(network, spoilt)[-1].passed
