import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tensors import (
    Layout,
    Tensor,
    dtype_of_onnx,
    dtype_of_wire,
    wire_name,
)

DTYPES = ("float32", "float64", "float16", "int64", "int8", "uint16", "bool")
tensors = st.lists(
    st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(1, 3), max_size=3)),
    min_size=1,
    max_size=4,
).map(
    lambda kinds: [
        Tensor(f"t{number}", np.dtype(dtype), tuple(shape))
        for number, (dtype, shape) in enumerate(kinds)
    ]
)


@given(tensors, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_what_is_packed_is_what_is_viewed(some, rows, seed):
    generator = np.random.default_rng(seed)
    values = [generator.integers(0, 2, (rows, *one.shape)).astype(one.dtype) for one in some]
    layout = Layout(some)
    packed = layout.pack(values)
    assert packed.shape == (rows, layout.width)
    for index, value in enumerate(values):
        view = layout.view(packed, index)
        assert view.dtype == value.dtype
        assert np.array_equal(view, value)


@given(tensors, st.data())
def test_a_number_that_is_none_is_found_in_its_row_alone(some, data):
    layout = Layout(some)
    floating = [index for index, one in enumerate(some) if one.dtype.kind == "f"]
    packed = layout.rows(4)
    assert layout.finite(packed) is None
    if not floating:
        return
    row = data.draw(st.integers(0, 3))
    bad = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    layout.view(packed, data.draw(st.sampled_from(floating))).reshape(4, -1)[row, -1] = bad
    assert layout.finite(packed).tolist() == [number != row for number in range(4)]


def test_one_tensor_with_its_batch_first_is_the_row_itself():
    (one,) = tensor = [Tensor("x", np.dtype("float32"), (2, 3))]
    layout = Layout(tensor)
    value = np.ones((4, *one.shape), np.float32)
    assert layout.whole
    assert np.shares_memory(layout.pack([value]), value)
    assert not Layout([Tensor("x", np.dtype("float32"), (2, 3), batch_axis=1)]).whole


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_three_names(dtype):
    name = wire_name(np.dtype(dtype))
    assert dtype_of_wire(name) == dtype_of_wire(f"TYPE_{name}") == np.dtype(dtype)
    onnx = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    assert dtype_of_onnx(f"tensor({onnx})") == np.dtype(dtype)


def test_text_is_no_dtype():
    assert dtype_of_onnx("tensor(string)") is None
    assert dtype_of_wire("BYTES") is None


def test_a_batch_axis_stands_where_the_graph_has_it():
    shape = (2, 128)
    float32 = np.dtype("float32")
    assert Tensor("s", float32, shape, 1).of_rows(7) == (2, 7, 128)
    assert Tensor("s", float32, shape, 0).of_rows(7) == (7, 2, 128)
    assert Tensor("s", float32, shape, None).of_rows(1) == shape
