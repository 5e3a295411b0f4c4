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


def test_a_table_for_a_page_leaves_cells_empty_that_a_record_lacks():
    assert report.markdown(COLUMNS, [*RECORDS, {"server": "b"}]).splitlines() == [
        "| server | steps/s |",
        "| ------ | ------: |",
        "| a      |  12,346 |",
        "| longer |       1 |",
        "| b      |         |",
    ]


def test_records_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "serving.json"
    report.write(path, RECORDS)
    assert json.loads(path.read_text()) == RECORDS


def test_what_was_not_measured_again_stays(tmp_path):
    path = tmp_path / "results" / "one.json"
    report.write(path, [{"task": "a", "seconds": 1}, {"task": "b", "seconds": 2}], "task")
    report.write(path, [{"task": "b", "seconds": 3}, {"task": "c", "seconds": 4}], "task")
    found = [(record["task"], record["seconds"]) for record in json.loads(path.read_text())]
    assert found == [("a", 1), ("b", 3), ("c", 4)]
    report.write(path, [{"task": "d", "seconds": 5}])
    assert [record["task"] for record in json.loads(path.read_text())] == ["d"]


def test_figures_of_two_machines_never_stand_in_one_file(tmp_path):
    path = tmp_path / "one.json"
    there = [{"task": "a", "machine_cpu": "theirs"}, {"task": "b", "machine_cpu": "ours"}]
    report.write(path, there)
    assert report.write(path, [{"task": "c", "machine_cpu": "ours"}], "task") == [
        {"task": "b", "machine_cpu": "ours"},
        {"task": "c", "machine_cpu": "ours"},
    ]
    assert len(json.loads(path.read_text())) == 2
