import numpy as np
import pytest
from fakes import FEATURES, chunk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.errors import InvalidArgument
from service.streams.chunks import Chunk, decode


def sent(values: object, **changes: object) -> Chunk:
    return chunk(1, np.asarray(values, "<f4"), **changes)


def test_decodes_row_major_little_endian_numbers():
    assert decode(sent([[1, 2, 3], [4, 5, 6]]), FEATURES, 10).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"dtype": "float64"}, "DTYPE", "dtype is float64; send float32"),
        ({"dtype": ""}, "DTYPE", "dtype is not set; send float32"),
        ({"features": 4}, "FEATURE_COUNT", "features is 4; this model takes 3 a step"),
        ({"steps": 0, "data": b""}, "STEP_COUNT", "steps is 0; send 1 to 10"),
        ({"steps": 11, "data": bytes(132)}, "STEP_COUNT", "steps is 11; send 1 to 10"),
        ({"data": bytes(11)}, "BYTE_LENGTH", "data has 11 bytes; 1 steps of 3 .* are 12"),
        ({"data": bytes(24)}, "BYTE_LENGTH", "data has 24 bytes"),
    ],
)
def test_refuses_what_no_model_takes(changes, reason, message):
    with pytest.raises(InvalidArgument, match=message) as refused:
        decode(sent([[1, 2, 3]], **changes), FEATURES, 10)
    assert refused.value.reason == reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (3, 1)])
def test_refuses_a_number_that_is_none_and_names_its_place(bad, place):
    values = np.ones((4, FEATURES))
    values[place] = bad
    with pytest.raises(InvalidArgument, match=f"at step {place[0]}, feature {place[1]}") as refused:
        decode(sent(values), FEATURES, 10)
    assert refused.value.reason == "NON_FINITE_INPUT"


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.just(FEATURES)),
        elements=st.floats(width=32, allow_subnormal=False),
    )
)
def test_accepts_exactly_the_finite_arrays(values):
    # The largest finite numbers too, whose squares overflow.
    if np.isfinite(values).all():
        assert decode(sent(values), FEATURES, 10).tobytes() == values.tobytes()
    else:
        with pytest.raises(InvalidArgument):
            decode(sent(values), FEATURES, 10)
