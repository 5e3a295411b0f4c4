import dataclasses

import numpy as np
import pytest

from demo.live import LiveRun
from demo.tails import Tails
from demo.verdict import Figure, differing, judge, table

LABELS = ("rest", "walk")


@pytest.fixture
def outputs():
    """Two streams of 50 steps, every step right."""
    sure = np.tile(np.array([[0.9, 0.1]], np.float32), (50, 1))
    return {"a": sure, "b": sure[:, ::-1].copy()}


@pytest.fixture
def tails():
    inputs = {name: np.zeros((50, 3), np.float32) for name in ("a", "b")}
    return Tails(inputs, {"a": ["rest"] * 50, "b": ["walk"] * 50})


def verdict(tails, streamed, scored=None, reference=None) -> dict[str, Figure]:
    live = LiveRun(streamed, LABELS, 2.0, np.linspace(0.001, 0.002, 100))
    exact = reference or {name: values.astype(np.float64) for name, values in streamed.items()}
    return {figure.name: figure for figure in judge(tails, live, scored or streamed, exact)}


def test_a_perfect_run_holds(tails, outputs):
    figures = verdict(tails, outputs)
    assert all(figure.holds is not False for figure in figures.values())
    assert figures["accuracy streamed, cold start included"].value == "100.00%"
    assert figures["throughput"].value == "50 steps/s"
    assert figures["latency p50"].value == "1.5 ms"


def test_accuracy_below_the_floor_falls_short(tails, outputs):
    outputs["a"][:6] = [0.1, 0.9]
    figure = verdict(tails, outputs)["accuracy streamed, cold start included"]
    assert (figure.value, figure.holds) == ("94.00%", False)


def test_one_bit_that_differs_falls_short(tails, outputs):
    scored = {name: values.copy() for name, values in outputs.items()}
    scored["b"].view(np.uint32)[7, 1] ^= 1
    figure = verdict(tails, outputs, scored)["outputs whose bits differ"]
    assert (figure.value, figure.holds) == ("1", False)


def test_bits_are_compared_not_values():
    zero = {"a": np.zeros((1, 2), np.float32)}
    assert differing(zero, {"a": -zero["a"]}) == 2
    nan = {"a": np.full((1, 2), np.nan, np.float32)}
    assert differing(nan, nan) == 0


def test_what_one_side_lacks_differs():
    steps = {"a": np.zeros((3, 2), np.float32)}
    assert differing(steps, {}) == 6
    assert differing(steps, {"a": np.zeros((2, 2), np.float32)}) == 6


@pytest.mark.parametrize("off", [2e-5, np.nan])
@pytest.mark.parametrize("stream", ["a", "b"])
def test_an_error_above_the_limit_falls_short(tails, outputs, stream, off):
    reference = {name: values.astype(np.float64) for name, values in outputs.items()}
    reference[stream][0, 0] += off
    assert (
        verdict(tails, outputs, reference=reference)["worst error against float64"].holds is False
    )


def test_the_table_is_aligned_and_marks_what_falls_short(tails, outputs):
    outputs["a"][:] = [0.1, 0.9]
    text = table(list(verdict(tails, outputs).values()))
    (marked,) = [line for line in text.splitlines() if "FALLS SHORT" in line and "streamed" in line]
    assert marked.index("at least") == text.splitlines()[0].index("wanted")


def test_figures_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Figure("a", "b").value = "c"
