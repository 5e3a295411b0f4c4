"""A packed row becomes named tensors and the same row again; what does not fit is refused."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from service.artifacts.artifact import Artifact
from service.durability.snapshots import NamedState, packed_row, take
from service.errors import InvalidArgument
from service.models.selftest import SelfTest
from service.tensors import Layout, Tensor

ARTIFACT = Artifact(Path("pump/3/model.onnx"), b"", "pump", "sha256:weights")
# Two dtypes, so that a row is bytes, and each tensor starts where its numbers may stand.
HIDDEN = Tensor("hidden", np.dtype(np.float32), (2, 3), batch_axis=1)
CLOCK = Tensor("clock", np.dtype(np.int64), ())


@dataclass
class Scored:
    """A model that nobody serves."""

    name: str = "pump"
    version: int = 3
    artifact: Artifact = ARTIFACT
    self_test: SelfTest = field(default_factory=lambda: SelfTest(0.0, 1e-6, "", 0, "sha256:bits"))
    state_layout: Layout = field(default_factory=lambda: Layout((HIDDEN, CLOCK)))


def a_row(seed):
    """A row of the layout, and what stands in it."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(2, 3)).astype(np.float32)
    clock = np.array(random.integers(1 << 60), np.int64)
    return Scored().state_layout.pack([hidden[None], clock[None]])[0], hidden, clock


def a_snapshot(seed=1):
    return take(Scored(), a_row(seed)[0], 5)


def with_state(snapshot, name, values):
    states = [NamedState(name, values) if one.name == name else one for one in snapshot.states]
    return replace(snapshot, states=tuple(states))


def test_a_row_is_taken_apart_by_name_and_says_whose_it_is():
    row, hidden, clock = a_row(2)
    snapshot = take(Scored(), row, 17)
    states = {state.name: state.values for state in snapshot.states}
    assert (states["hidden"].dtype, states["hidden"].tolist()) == (np.float32, hidden.tolist())
    assert (states["clock"].dtype, states["clock"].tolist()) == (np.int64, clock.tolist())
    assert (snapshot.model, snapshot.version, snapshot.steps) == ("pump", "3", 17)
    assert (snapshot.digest, snapshot.fingerprint) == ("sha256:weights", "sha256:bits")


def test_a_snapshot_stays_when_its_row_goes_on():
    row, hidden, _ = a_row(3)
    snapshot = take(Scored(), row, 1)
    row[:] = 0
    assert snapshot.states[0].values.tolist() == hidden.tolist()


def test_a_snapshot_is_packed_to_the_row_that_it_was_taken_of():
    row, _, _ = a_row(4)
    snapshot = take(Scored(), row, 1)
    assert packed_row(snapshot, Scored()).tobytes() == row.tobytes()
    # By name, whatever their order.
    turned = replace(snapshot, states=snapshot.states[::-1])
    assert packed_row(turned, Scored()).tobytes() == row.tobytes()


def refusal(snapshot, model=None):
    with pytest.raises(InvalidArgument) as caught:
        packed_row(snapshot, model or Scored())
    return caught.value


def test_a_state_of_other_weights_is_refused_even_where_all_else_fits():
    error = refusal(replace(a_snapshot(), model="fan", digest="sha256:others"))
    assert error.reason == "STATE_MODEL"
    assert error.metadata == {"model": "fan", "content_digest": "sha256:others"}
    assert "model fan with content sha256:others; pump/3 here has sha256:weights" in error.message


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds nothing;"),
        (("hidden",), "holds hidden;"),
        (("hidden", "clock", "cell"), "holds hidden, clock, cell;"),
        (("hidden", "Clock"), "holds hidden, Clock;"),
        # Whose second one would be believed.
        (("hidden", "clock", "clock"), "holds hidden, clock, clock;"),
    ],
)
def test_states_of_other_names_are_refused(names, said):
    states = tuple(NamedState(name, np.zeros((2, 3), np.float32)) for name in names)
    error = refusal(replace(a_snapshot(), states=states))
    assert error.reason == "STATE_NAMES"
    assert said in error.message
    assert error.message.endswith("model pump keeps hidden, clock")


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1), (0, 3), ()])
def test_a_state_of_another_shape_is_refused(shape):
    error = refusal(with_state(a_snapshot(), "hidden", np.zeros(shape, np.float32)))
    assert (error.reason, error.metadata) == ("STATE_SHAPE", {"state": "hidden"})
    assert f"has shape {list(shape)}; model pump keeps [2, 3]" in error.message


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "bool"])
def test_a_state_of_another_dtype_is_refused_and_never_converted(dtype):
    error = refusal(with_state(a_snapshot(), "hidden", np.zeros((2, 3), dtype)))
    assert (error.reason, error.metadata) == ("STATE_DTYPE", {"state": "hidden"})
    assert f"is {dtype}; model pump keeps float32" in error.message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_a_state_that_is_no_number_is_refused(bad, place):
    values = a_row(5)[1]
    values[place] = bad
    error = refusal(with_state(a_snapshot(), "hidden", values))
    assert (error.reason, error.metadata) == ("STATE_NOT_FINITE", {"state": "hidden"})


def test_the_largest_numbers_are_numbers():
    values = np.full((2, 3), np.finfo(np.float32).max)
    row = packed_row(with_state(a_snapshot(), "hidden", values), Scored())
    assert values.tobytes() in row.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "m" * 10**6, "digest": "d" * 10**6},
        {"states": (NamedState("s" * 10**6, np.zeros(1)),)},
        {"states": tuple(NamedState(f"s{number}", np.zeros(1)) for number in range(10**5))},
    ],
)
def test_an_error_does_not_repeat_a_megabyte_of_what_was_sent(changes):
    error = refusal(replace(a_snapshot(), **changes))
    assert len(error.message) < 1_000
    assert all(len(value) < 200 for value in error.metadata.values())
