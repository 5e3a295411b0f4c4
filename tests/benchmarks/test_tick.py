import json

import pytest

from benchmarks.__main__ import main


def test_a_quick_run_records_each_batch_size(tmp_path, capsys):
    assert main(["tick", "--quick", "--results", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "tick.json").read_text())
    assert [record["batch"] for record in records] == [1, 8, 32, 64, 128, 256]
    for record in records:
        share = record["tick_steps_per_second"] / record["raw_steps_per_second"]
        assert record["share_percent"] == pytest.approx(100 * share, rel=0.5)
        assert 0 < record["share_percent_lowest"] <= record["share_percent"]
    assert "share %" in capsys.readouterr().out
