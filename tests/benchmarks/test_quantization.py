import json

from benchmarks.__main__ import main


def test_a_quick_run_records_time_and_error_of_each_batch(tmp_path, capsys):
    assert main(["quantization", "--quick", "--results", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "quantization.json").read_text())
    assert [record["batch"] for record in records] == [1, 32, 128]
    for record in records:
        # Of both, and of their ratio, whatever else the machine does meanwhile.
        names = ("float32_microseconds", "int8_microseconds", "times_float32")
        assert all(record[name] > 0 for name in names)
        assert record["float32_output_error"] < 1e-6 < record["int8_output_error"] < 0.01
        assert 1e-4 < record["int8_state_error"] < 0.02
    assert "times float32" in capsys.readouterr().out
