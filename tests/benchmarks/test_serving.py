"""The benchmark from its command line, with both servers; speed is never asserted."""

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
    "latency_p99_ms",
    "load_cpu_us_per_step",
    "load_cpu_percent",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    given = ["serving", "--quick", "--streams", "8", "--results", str(folder)]
    assert command.main(given) == 0
    return json.loads((folder / "serving.json").read_text())


def test_each_server_is_measured_under_each_load(records):
    assert [(record["server"], record["streams"]) for record in records] == [
        ("statewise", 8),
        ("statewise", 1),
        ("plain grpc.aio", 8),
        ("plain grpc.aio", 1),
    ]


def test_every_figure_is_there_with_its_circumstances(records):
    for record in records:
        assert all(record[figure] > 0 for figure in FIGURES)
        assert all(isinstance(value, str | int | float) for value in record.values())
        assert record["machine_cores"] >= 2
        assert record["repeats"] == 1
        assert record["version_grpcio"]


def test_every_answer_was_compared_with_the_model_s(records):
    for record in records:
        assert record["verified_steps"] > 0
        assert record["worst_error"] <= 1e-5
        if record["server"] == "statewise":
            assert record["differing_values"] == 0
