"""Comparisons: how many, how far apart, where, and whether that passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.comparison import compare_bits, compare_close, worst_of

AXES = ("row", "channel")


def zeros(dtype: type = np.float32) -> np.ndarray:
    return np.zeros((3, 2), dtype)


@given(st.integers(0, 2), st.integers(0, 1), st.sampled_from([1e-3, -0.5, np.inf, np.nan]))
def test_one_wrong_value_is_found_where_it_is(row: int, channel: int, error: float) -> None:
    actual = zeros()
    actual[row, channel] = error

    for comparison in (
        compare_close(actual, zeros(float), 1e-4, AXES),
        compare_bits(actual, zeros(), AXES),
    ):
        assert not comparison.passed
        assert comparison.where == f"row {row}, channel {channel}"
        assert comparison.values == 6
        expected = abs(error) if np.isfinite(error) else np.inf
        assert comparison.worst_error == pytest.approx(expected)


def test_an_error_up_to_its_tolerance_passes() -> None:
    actual = zeros(float) + 1e-4

    assert compare_close(actual, zeros(float), 1e-4, AXES).passed
    assert not compare_close(actual, zeros(float), 0.9e-4, AXES).passed


def test_the_worst_is_the_largest_share_of_its_own_tolerance() -> None:
    actual = np.array([[1.0, 1e-3]])

    comparison = compare_close(actual, np.zeros((1, 2)), np.array([10.0, 1e-4]), AXES)

    assert comparison.where == "row 0, channel 1"
    assert (comparison.worst_error, comparison.tolerance) == (1e-3, 1e-4)
    assert not comparison.passed


def test_the_smallest_difference_in_bits_fails() -> None:
    above = np.nextafter(np.float32(1), np.float32(2))

    assert not compare_bits(np.array([above]), np.ones(1, np.float32), ("row",)).passed
    assert not compare_bits(np.array([-0.0]), np.array([0.0]), ("row",)).passed


def test_equal_bits_pass_even_where_they_are_no_number() -> None:
    nothing = np.array([np.nan, np.inf], np.float32)

    comparison = compare_bits(nothing, nothing.copy(), ("row",))

    assert comparison.passed
    assert (comparison.worst_error, comparison.where) == (0, "")


def test_no_number_against_itself_is_not_close() -> None:
    assert not compare_close(np.array([np.nan]), np.array([np.nan]), 1.0, ("row",)).passed


def test_cases_are_summed_up_by_the_worst() -> None:
    fine = compare_close(zeros(), zeros(float), 1e-4, AXES)
    bad = compare_close(zeros() + np.float32(1), zeros(float), 1e-4, AXES)

    summary = worst_of("check", "this with that", [("one", fine), ("two", bad), ("three", fine)])

    assert summary.where == "two, row 0, channel 0"
    assert (summary.check, summary.compared, summary.values) == ("check", "this with that", 18)
    assert not summary.passed
    assert worst_of("check", "this with that", [("one", fine)]).passed


def test_a_failed_case_is_never_hidden_by_a_larger_error_that_is_allowed() -> None:
    allowed = compare_close(np.ones(1), np.zeros(1), 2.0, ("row",))
    failed = compare_close(np.full(1, 1e-3), np.zeros(1), 1e-4, ("row",))

    summary = worst_of("check", "", [("allowed", allowed), ("failed", failed)])

    assert summary.where == "failed, row 0"
    assert not summary.passed
