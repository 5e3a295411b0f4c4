import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import cores
from benchmarks.benchmark import Benchmark
from benchmarks.report import Column


def test_without_a_name_the_benchmarks_are_listed(capsys):
    assert command.main([]) == 0
    assert capsys.readouterr().out.startswith("serving ")


def test_an_unknown_name_exits_2():
    with pytest.raises(SystemExit, match="2"):
        command.main(["swerving"])


@pytest.mark.parametrize("name", ["durability", "overload", "training"])
@pytest.mark.parametrize(
    ("repeats", "text"), [("0", "0 is too few; take 1 or more"), ("x", "'x' is no whole number")]
)
def test_no_turns_at_all_is_a_mistake_in_a_line(capsys, name, repeats, text):
    with pytest.raises(SystemExit, match="2"):
        command.main([name, "--repeats", repeats])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: argument --repeats: {text}")


def test_a_benchmark_that_is_ended_leaves_no_server_behind(is_running):
    root = Path(command.__file__).parents[1]
    given = [sys.executable, "-m", "benchmarks", "serving", "--seconds", "600"]
    with subprocess.Popen(given, cwd=root, stderr=subprocess.DEVNULL) as process:
        # Itself, the server, and the load.
        while len(tree := cores.process_tree(process.pid)) < 3:
            assert process.poll() is None
        process.terminate()
    assert process.returncode == 128 + 15
    while any(map(is_running, tree)):
        pass


@pytest.fixture
def results(monkeypatch, tmp_path):
    """The results' folder, with two benchmarks that measure nothing."""

    def fake(name: str) -> Benchmark:
        return Benchmark(
            name=name,
            summary="",
            description="",
            add_arguments=lambda parser: None,
            measure=lambda options: [{"benchmark": name, "quick": options.quick}],
            columns=(Column("benchmark", "benchmark"),),
        )

    monkeypatch.setattr(command, "BENCHMARKS", {name: fake(name) for name in ("one", "two")})
    monkeypatch.setattr(command, "_RESULTS", tmp_path)
    return tmp_path


def test_a_benchmark_prints_a_table_and_writes_its_records(results, capsys):
    assert command.main(["one"]) == 0
    assert capsys.readouterr().out.splitlines() == ["benchmark", "one"]
    assert json.loads((results / "one.json").read_text()) == [{"benchmark": "one", "quick": False}]


def test_all_runs_every_benchmark_with_the_options_that_all_have(results, capsys):
    folder = results / "elsewhere"
    assert command.main(["all", "--quick", "--results", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {"one.json", "two.json"}
    assert json.loads((folder / "two.json").read_text()) == [{"benchmark": "two", "quick": True}]


def test_a_benchmark_may_print_and_leave_more_than_a_table(results, monkeypatch, capsys):
    one = replace(
        command.BENCHMARKS["one"],
        identity="benchmark",
        tables=lambda records: f"{len(records)} measured",
        present=lambda records, folder: (folder / "page").write_text(f"{len(records)} kept"),
    )
    monkeypatch.setitem(command.BENCHMARKS, "one", one)
    (results / "one.json").write_text(json.dumps([{"benchmark": "older"}]))
    assert command.main(["one"]) == 0
    assert capsys.readouterr().out == "1 measured\n"
    assert (results / "page").read_text() == "2 kept"


def test_a_quick_run_never_replaces_recorded_results(results, capsys):
    assert command.main(["one", "--quick"]) == 0
    assert list(results.iterdir()) == []
