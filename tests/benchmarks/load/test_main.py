import numpy as np
import pytest

from benchmarks.load.__main__ import _write, main
from benchmarks.load.conversation import Conversation
from benchmarks.load.native import NativeWire


def test_outputs_are_written_stream_by_stream_also_where_one_had_none(tmp_path):
    first, starved, last = (Conversation(NativeWire("m", i), []) for i in range(3))
    rows = np.arange(8, dtype="<f4").reshape(4, 2)
    first.outputs = [rows[0].tobytes()]
    last.outputs = [row.tobytes() for row in rows[1:]]
    _write(tmp_path / "outputs.npz", [first, starved, last], 1)
    with np.load(tmp_path / "outputs.npz") as arrays:
        found = list(arrays.values())
    assert [array.shape for array in found] == [(1, 2), (0, 2), (3, 2)]
    assert np.concatenate(found).tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--port=1"], "target 127.0.0.1:1 can't be reached"),
        (["--port=1", "--rate=-1"], "rate and features can't be negative"),
        (["--port=1", "--surplus=4"], "surplus is 4; take 0 or more, and give a rate"),
        (["--port=1", "--chunk-steps=3"], "chunk_steps is 3; take a divisor of 16"),
        (["--port=1", "--chunk-steps=4", "--wire=triton"], "chunk_steps is 4; triton takes 1"),
        (["--port=1", "--connections=65"], "connections is 65; take a value from 1 to 64"),
    ],
)
def test_a_load_that_can_t_be_run_is_one_line(capsys, options, text):
    assert main(["--model", "m", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {text}")
    assert error.count("\n") == 1
