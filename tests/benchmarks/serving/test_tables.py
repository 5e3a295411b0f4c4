import pytest
from benchmarks_samples import case, sample

from benchmarks.serving import pictures, tables
from benchmarks.serving.bench import OVER_THE_LIMIT, Findings
from benchmarks.serving.contenders import MLSERVER, PLAIN_AIO, STATEWISE
from benchmarks.serving.records import summarize
from benchmarks.serving.settings import PARTS


@pytest.fixture(scope="module")
def records():
    trials = [
        case(one, part, workers=workers, rate=rate)
        for one in (PLAIN_AIO, STATEWISE)
        for part in PARTS
        for workers in ((1, 2) if part == "workers" else (1,))
        for rate in ((10.0, 20.0) if part == "open" else (0.0,))
    ]
    failures = {
        case(MLSERVER, "idle"): "it refused 3 streams",
        case(PLAIN_AIO, "open", rate=30.0): OVER_THE_LIMIT,
    }
    return summarize(Findings({one: [sample(one)] for one in trials}, failures))


def test_every_part_has_a_table_in_the_order_of_the_servers(records):
    text = tables.tables(records)
    assert text.count("\n## ") + text.startswith("## ") == len(PARTS)
    for table in text.split("## ")[1:]:
        assert table.index("\n| Statewise ") < table.index("\n| plain grpc.aio ")


def test_who_has_no_figures_is_said_once_and_why(records):
    page = tables.page(records)
    assert page.count("- MLServer, 64 streams: it refused 3 streams") == 1
    assert page.count("MLServer") == 1
    assert OVER_THE_LIMIT not in page


def test_a_page_names_the_machine_and_shows_the_pictures(records, tmp_path):
    page = tables.page(records)
    assert f"{records[0]['machine_cores']} cores, {records[0]['machine_cpu']}" in page
    pictures.draw(records, tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {table.picture for table in tables.TABLES.values()} - {""}
    assert all(f"({name})" in page for name in drawn)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_what_was_not_measured_has_no_picture(records, tmp_path):
    pictures.draw([one for one in records if one["part"] == "idle"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["serving_idle.png"]
