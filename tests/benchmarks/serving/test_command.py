"""The benchmark from its command line, with real servers; speed is never asserted."""

import json

import pytest

from benchmarks import __main__ as command

FIGURES = (
    "steps_per_second",
    "steps_per_second_lowest",
    "steps_per_second_highest",
    "steps_per_second_times_plain",
    "server_cpu_us_per_step",
    "server_cpu_percent",
    "latency_p50_ms",
    "latency_p90_ms",
    "latency_p99_ms",
    "latency_p999_ms",
    "load_cpu_us_per_step",
    "load_cpu_percent",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    given = ["serving", "--quick", "--streams", "8", "1", "--peers", "plain-aio"]
    assert command.main([*given, "--results", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def records(folder):
    return json.loads((folder / "serving.json").read_text())


def test_each_server_is_measured_under_each_load(records):
    assert {(record["server"], record["streams"]) for record in records} == {
        (server, streams)
        for server in ("Statewise", "Statewise, Triton's protocol", "plain grpc.aio")
        for streams in (1, 8)
    }
    assert {record["part"] for record in records} == {"closed"}


def test_every_figure_is_there_with_its_circumstances(records):
    for record in records:
        assert all(record[figure] > 0 for figure in FIGURES)
        assert all(isinstance(value, str | int | float) for value in record.values())
        assert (record["failure"], record["starved_streams"]) == ("", 0)
        assert record["machine_cores"] >= 2
        assert record["repeats"] == 1
        assert record["version_grpcio"]


def test_every_answer_was_compared_with_the_model_s(records):
    for record in records:
        assert record["verified_steps"] > 0
        assert record["worst_error"] <= 1e-5
        if record["server"].startswith("Statewise"):
            assert record["differing_values"] == 0


def test_a_page_and_a_picture_stand_beside_the_records(folder):
    page = (folder / "serving.md").read_text()
    assert "![Each stream sends its next step" in page
    assert {path.name for path in folder.iterdir()} == {
        "serving.json",
        "serving.md",
        "serving_closed.png",
    }


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--repeats=0", "repeats is 0; take 1 or more"),
        ("--streams=-3", "streams is -3; take 1 or more"),
        ("--seconds=0", "seconds is 0; take more than 0"),
        ("--rates=0", "rates is 0; take more than 0"),
        ("--warmup-seconds=-1", "warmup_seconds is -1; take 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_one_line(capsys, option, text):
    assert command.main(["serving", option]) == 2
    assert capsys.readouterr().err == f"error: {text}\n"
