import json
import shutil

import pytest

from benchmarks.__main__ import main


def test_a_quick_run_records_each_store_beside_memory(tmp_path, capsys):
    assert main(["durability", "--quick", "--streams", "4", "--results", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "durability.json").read_text())
    stores = ["memory", "SQLite"] + (["Redis"] if shutil.which("redis-server") else [])
    assert [record["store"] for record in records] == stores
    assert records[0]["share_of_memory"] == 1
    for record in records:
        ratio = record["steps_per_second"] / records[0]["steps_per_second"]
        assert record["share_of_memory"] == pytest.approx(ratio)
    assert "share of memory" in capsys.readouterr().out
