"""Tolerances follow the range of an output and the network's own amplification of rounding."""

from dataclasses import fields, replace

import numpy as np
import pytest

from export.cases import answer, draw_case, rounded_answer
from export.random_model import random_network
from export.tolerances import CEILING, FLOOR, Tolerances, measure_tolerances
from training.reference import Layer, Network


def measure(network: Network, steps: int = 50) -> Tolerances:
    case = draw_case(network, steps, 3, np.random.default_rng(0))
    return measure_tolerances(network, [(case, answer(network, case))])


def test_a_calm_network_gets_the_smallest() -> None:
    tolerances = measure(random_network(3, 4, 1, 2))

    assert np.array_equal(tolerances.outputs, [FLOOR, FLOOR])
    assert tolerances.state == tolerances.largest == FLOOR


def test_the_tolerance_of_an_output_grows_with_its_range() -> None:
    network = random_network(3, 4, 1, 2, activation="identity")
    network.output_scale[:] = [1, 1000]

    tolerances = measure(network)

    assert tolerances.outputs[1] > 50 * tolerances.outputs[0]
    assert tolerances.largest == tolerances.outputs[1]
    assert tolerances.state == FLOOR


def test_an_output_that_is_always_zero_has_one_too() -> None:
    network = random_network(3, 4, 1, 2, activation="identity")
    network.output_scale[0] = network.output_mean[0] = 0

    assert 0 < measure(network).outputs[0] < 1e-30


def test_a_chaotic_network_gets_the_largest(chaotic: Network) -> None:
    assert measure(chaotic, steps=300).state == CEILING


def test_a_sensitive_network_gets_more_than_a_calm_one(chaotic: Network) -> None:
    layer = chaotic.layers[0]
    calmer = Layer(**{field.name: 0.75 * getattr(layer, field.name) for field in fields(layer)})

    assert FLOOR < measure(replace(chaotic, layers=(calmer,)), steps=300).state < CEILING


def test_the_twin_rounds_the_state_only() -> None:
    network = random_network(3, 4, 2, 2)
    case = draw_case(network, 20, 3, np.random.default_rng(0))

    exact, twin = answer(network, case), rounded_answer(network, case)

    assert np.array_equal(twin.final_state, twin.final_state.astype(np.float32))
    assert not np.array_equal(exact.final_state, exact.final_state.astype(np.float32))
    # The first step starts from the same float32 state, and nothing in it is rounded.
    assert twin.outputs[0] == pytest.approx(exact.outputs[0], abs=1e-15)
    assert twin.outputs[1] != pytest.approx(exact.outputs[1], abs=1e-15)
