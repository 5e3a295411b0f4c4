"""The checks, handed engines that err in one way each."""

from collections.abc import Callable

import numpy as np
import pytest

from export import checks
from export.cases import Answer, Case, Lengths, answer
from export.random_model import random_network
from export.tolerances import Tolerances, measure_tolerances
from training.reference import Network


@pytest.fixture(scope="module")
def network() -> Network:
    return random_network(3, 4, 1, 2)


class Reference:
    """The reference as an engine, in float32, with a fault put into each answer."""

    def __init__(self, network: Network, fault: Callable[[Case, Answer], None]) -> None:
        self._network = network
        self._fault = fault

    def run(self, case: Case) -> Answer:
        # Row by row, so that the sizes of matrix products never change a bit.
        rows = [
            answer(self._network, Case(case.inputs[:, [row]], case.state[[row]]))
            for row in range(len(case.state))
        ]
        given = Answer(
            np.concatenate([row.outputs for row in rows], axis=1).astype(np.float32),
            np.concatenate([row.final_state for row in rows]).astype(np.float32),
        )
        self._fault(case, given)
        return given

    def run_lengths(self, case: Case, lengths: Lengths) -> Answer:
        return self.run(case)


def no_fault(case: Case, given: Answer) -> None:
    pass


def test_an_engine_without_fault_passes(network: Network) -> None:
    engine = Reference(network, no_fault)
    comparisons, errors = checks.check_reference(engine, network, 20, (1, 3), measure_tolerances)

    assert all(comparison.passed for comparison in comparisons)
    assert all((share < 0.1).all() for share in errors.values())
    assert checks.check_company(engine, network, (2, 5), None).passed


def test_an_error_at_one_step_of_one_batch_is_named(network: Network) -> None:
    def fault(case: Case, given: Answer) -> None:
        if len(case.state) == 3:
            given.outputs[7, 2, 1] += np.float32(0.01)

    engine = Reference(network, fault)
    (outputs, states), errors = checks.check_reference(
        engine, network, 20, (1, 3, 5), measure_tolerances
    )

    assert (outputs.passed, states.passed) == (False, True)
    assert outputs.where == "batch 3, step 7, row 2, channel 1"
    assert outputs.worst_error == pytest.approx(0.01, rel=1e-3)
    assert outputs.values == 20 * (1 + 3 + 5) * 2
    assert errors[3].argmax() == 7


def test_a_wrong_final_state_is_named(network: Network) -> None:
    def fault(case: Case, given: Answer) -> None:
        given.final_state[-1, 3] += np.float32(0.01)

    (outputs, states), _ = checks.check_reference(
        Reference(network, fault), network, 20, (1, 3), measure_tolerances
    )

    assert (outputs.passed, states.passed) == (True, False)
    assert states.where.endswith("unit 3")


def test_a_place_in_the_batch_that_changes_bits_is_found(network: Network) -> None:
    def fault(case: Case, given: Answer) -> None:
        given.outputs[:, 4:] = np.nextafter(given.outputs[:, 4:], np.float32(2))

    company = checks.check_company(Reference(network, fault), network, (2, 5, 9), None)

    assert not company.passed
    assert "bit for bit" in company.compared
    assert 0 < company.worst_error < 1e-6


def test_a_state_that_hides_in_the_engine_is_found(network: Network) -> None:
    hidden: list[np.ndarray] = []

    def fault(case: Case, given: Answer) -> None:
        for earlier in hidden[-1:]:
            given.outputs[0] += np.float32(1e-3) * earlier.mean()
        hidden[:] = [given.final_state.copy()]

    engine = Reference(network, fault)

    assert not checks.check_chunking([engine, engine], network, 6, None).passed


def test_chunks_that_lose_their_state_are_found(network: Network) -> None:
    def fault(case: Case, given: Answer) -> None:
        given.final_state[:] = case.state

    loose = Tolerances(np.full(2, 1e-3), 1e-3)
    chunking = checks.check_chunking([Reference(network, fault)], network, 6, loose)

    assert not chunking.passed


def test_one_cut_that_changes_bits_is_named(network: Network) -> None:
    def fault(case: Case, given: Answer) -> None:
        if len(case.inputs) == 4:
            given.outputs[0, 1, 0] = np.nextafter(given.outputs[0, 1, 0], np.float32(2))

    chunking = checks.check_chunking([Reference(network, fault)], network, 7, None)

    assert not chunking.passed
    assert chunking.where in (
        "cut at 3, step 3, row 1, channel 0",
        "cut at 4, step 0, row 1, channel 0",
    )


def test_an_engine_that_ignores_lengths_is_found(network: Network) -> None:
    loose = Tolerances(np.full(2, 1e-3), 1e-3)
    lengths = checks.check_lengths(Reference(network, no_fault), network, 9, loose)

    assert not lengths.passed
    assert "length" in lengths.where


def test_golden_answers_are_held_to_their_own_tolerance(network: Network) -> None:
    case = Case(np.ones((5, 3, 3), np.float32), np.zeros((3, 4), np.float32))
    expected = answer(network, case)
    expected.final_state[1, 2] += 0.5
    engine = Reference(network, no_fault)

    def within(own: float, promised: float) -> bool:
        tolerances = Tolerances(np.full(2, own), own)
        return checks.check_golden(engine, case, expected, tolerances, promised).passed

    assert not within(0.4, 0.6)
    assert not within(0.6, 0.4)
    assert within(0.6, 0.6)
