import json

import pytest

from benchmarks.__main__ import main


def test_a_quick_run_records_time_and_error_of_each_batch(tmp_path, capsys):
    assert main(["quantization", "--quick", "--results", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "quantization.json").read_text())
    assert [record["batch"] for record in records] == [1, 32, 128]
    for record in records:
        ratio = record["float32_microseconds"] / record["int8_microseconds"]
        assert record["times_float32"] == pytest.approx(ratio, rel=0.5)
        assert record["float32_output_error"] < 1e-6 < record["int8_output_error"] < 0.01
        assert 1e-4 < record["int8_state_error"] < 0.02
    assert "times float32" in capsys.readouterr().out
