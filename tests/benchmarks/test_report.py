import json

from benchmarks import report
from benchmarks.report import Column

COLUMNS = (Column("server", "server"), Column("steps/s", "steps_per_second", ",.0f"))
RECORDS = [
    {"server": "a", "steps_per_second": 12345.6, "hidden": True},
    {"server": "longer", "steps_per_second": 1.0, "hidden": False},
]


def test_a_table_is_aligned():
    assert report.table(COLUMNS, RECORDS).splitlines() == [
        "server  steps/s",
        "a        12,346",
        "longer        1",
    ]


def test_records_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "serving.json"
    report.write(path, RECORDS)
    assert json.loads(path.read_text()) == RECORDS
