"""The command `statewise stream`, run as a user runs it, against a real server."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_model import FEATURES, FORBIDDEN, answers, distinct
from statewise_client.__main__ import main

STEPS = distinct(7, seed=1)
ANSWERS = answers(STEPS)


def table(steps, columns=FEATURES):
    """A CSV table with a column more than the model takes, in another order."""
    rows = [",".join(("time", *reversed(columns)))]
    rows += [",".join(map(str, (number, *step[::-1]))) for number, step in enumerate(steps)]
    return "\n".join(rows) + "\n"


def numbers(lines):
    """Outputs of CSV lines, checked to be numbered from 1."""
    rows = list(csv.reader(lines))
    assert [row[0] for row in rows] == ["step", *map(str, range(1, len(rows)))]
    return np.array([row[1:] for row in rows[1:]], np.float32)


@pytest.mark.parametrize("chunk", ["1", "3", "100"])
def test_a_csv_recording_gives_a_line_a_step(stream, write, chunk):
    code, lines, err = stream(write("r.csv", table(STEPS)), "--format", "csv", "--chunk", chunk)

    assert code == 0
    np.testing.assert_array_equal(numbers(lines), ANSWERS)
    assert "note: columns left unused: time; all rows go as one stream (--entity COLUMN=" in err
    assert "7 steps in" in err
    assert "latency p50" in err


def test_a_spreadsheets_csv_is_read(stream, write):
    text = "\ufeffax,ay,az\r\n1,2,3\r\n\r\n4,5,6\r\n"

    code, lines, _ = stream(write("R.CSV", text), "--format", "csv")

    assert (code, lines) == (0, ["step,low,high", "1,1.0,3.0", "2,5.0,9.0"])


def test_an_array_is_streamed(stream, tmp_path):
    np.save(tmp_path / "r.npy", STEPS.astype(np.float64))

    code, lines, err = stream(tmp_path / "r.npy", "--format", "csv")

    assert (code, "unused" in err) == (0, False)
    np.testing.assert_array_equal(numbers(lines), ANSWERS)


def parquet(path, steps, who):
    columns = {name: steps[:, place] for place, name in enumerate(FEATURES)}
    pq.write_table(pa.table({"who": who, **columns}), path)
    return path


def test_one_recording_is_picked_out_of_a_parquet_table(stream, tmp_path):
    steps = np.repeat(STEPS, 2, axis=0)
    steps[::2] = 0
    path = parquet(tmp_path / "r.parquet", steps, [1, 2] * 7)

    code, lines, err = stream(path, "--entity", "who=2", "--format", "csv")

    assert (code, "unused" in err) == (0, False)
    np.testing.assert_array_equal(numbers(lines), ANSWERS)


def test_classes_are_told_by_the_likeliest(stream, write):
    path, classes = write("r.csv", "ax,ay,az\n0.25,0.5,0.1\n"), {"outputs_are_classes": True}

    texts = stream(path, **classes)[1]
    tables = stream(path, "--format", "csv", **classes)[1]
    objects = stream(path, "--format", "jsonl", **classes)[1]

    assert texts == ["     1  high  0.500"]
    assert tables == ["step,label,probability", "1,high,0.5"]
    assert [json.loads(line) for line in objects] == [
        {"step": 1, "label": "high", "probability": 0.5}
    ]


def test_values_are_told_by_name(stream, write):
    path = write("r.csv", "ax,ay,az\n0.1,0.5,2\n")

    assert stream(path)[1] == ["     1  low 0.1  high 2"]
    assert json.loads(stream(path, "--format", "jsonl")[1][0]) == {
        "step": 1,
        "outputs": {"low": 0.1, "high": 2.0},
    }


def test_realtime_needs_a_model_that_is_tied_to_time(stream, write):
    path = write("r.csv", table(STEPS))

    code, lines, _ = stream(path, "--realtime", "--format", "csv", steps_per_second=1000.0)
    assert (code, len(lines)) == (0, 8)

    code, _, err = stream(path, "--realtime", steps_per_second=0.0)
    assert code == 2
    assert "error: --realtime: the steps of model 'sum' are not tied to time; leave it out" in err


MISTAKES = {
    "no file": (None, [], "there is no such file; correct --input"),
    "kind": ("r.txt", "", [], "give a file in .csv, .parquet or .npy, or - for CSV"),
    "empty": ("r.csv", "", [], "it is empty; write a header line and a line a step"),
    "header": ("r.csv", "ax,ay,az\n", [], "it has no steps; a recording has at least one"),
    "column": ("r.csv", "ax,ay,acc_z\n1,2,3\n", [], "no column 'az'; the nearest is 'acc_z'"),
    "twice": ("r.csv", "ax,ay,az,ay\n1,2,3,4\n", [], "column 'ay' is there 2 times; keep one"),
    "word": ("r.csv", "ax,ay,az\n1,2,x\n", [], ", line 2: column 'az' is 'x'; write a finite"),
    "nan": ("r.csv", "ax,ay,az\n1,nan,3\n", [], ", line 2: column 'ay' is 'nan'; write a finite"),
    "blank": ("r.csv", "ax,ay,az\n1,,3\n", [], ", line 2: column 'ay' is ''; write a finite"),
    "short": ("r.csv", "ax,ay,az\n\n1,2\n", [], ", line 3: it has 2 cells; the header has 3"),
    "too large": ("r.csv", "ax,ay,az\n1,1e99,3\n", [], "data has 1e+99 at step 0, feature 'ay'"),
    "quote": ("r.csv", 'ax,ay,az\n1,2,"3\n', [], "it can't be read: unexpected end of data"),
    "encoding": ("r.csv", b"ax,ay,az\n\xff\xfe,2,3\n", [], "it can't be read: 'utf-8' codec"),
    "refused": ("r.csv", f"ax,ay,az\n1,2,{FORBIDDEN}\n", [], "chunk 1 is refused: sequence is 1"),
    "entity": ("r.csv", "who,ax,ay,az\n1,1,2,3\n", ["--entity", "who=9"], "no row has who = 9"),
    "entity form": ("r.csv", "", ["--entity", "who"], "--entity who: write COLUMN=VALUE"),
    "entity column": ("r.csv", "ax,ay,az\n", ["--entity", "who=9"], "there is no column 'who'"),
    "entity in npy": ("r.npy", "", ["--entity", "who=9"], "an array has no columns; leave out"),
    "chunk": ("r.csv", "ax,ay,az\n", ["--chunk", "0"], "--chunk is 0; send at least 1 step"),
    "not npy": ("r.npy", "ax,ay,az\n", [], "it can't be read"),
    "empty npy": ("r.npy", "", [], "it can't be read"),
    "not parquet": ("r.parquet", "ax,ay,az\n", [], "it can't be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_a_line(stream, write, tmp_path, mistake):
    name, *content, options, message = mistake
    path = write(name, *content) if name else tmp_path / "missing.csv"

    code, _, err = stream(path, *options)

    assert code == 2
    error = err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_an_array_of_another_shape_or_kind_is_a_mistake(stream, tmp_path):
    path = tmp_path / "r.npy"
    for array, message in (
        (np.ones(3), "its shape is (3,); this model takes (steps, 3)"),
        (np.ones((2, 4)), "its shape is (2, 4); this model takes (steps, 3)"),
        (np.array([["a", "b", "c"]]), "dtype is <U1; send real numbers"),
        (np.array([[1, 2, None]]), "it can't be read: Array can't be memory-mapped: Python obj"),
    ):
        np.save(path, array, allow_pickle=True)
        code, _, err = stream(path)
        assert code == 2
        assert message in err.splitlines()[-1]


def test_outputs_before_a_mistake_are_printed(stream, write):
    code, lines, _ = stream(write("r.csv", "ax,ay,az\n1,2,3\n4,5,6\n7,x,9\n"), "--format", "csv")

    assert (code, lines) == (2, ["step,low,high", "1,1.0,3.0", "2,5.0,9.0"])


def test_parquet_without_pyarrow_says_what_to_do(stream, tmp_path, monkeypatch):
    path = parquet(tmp_path / "r.parquet", STEPS, [1] * 7)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    code, _, err = stream(path)

    assert code == 2
    assert "Parquet needs pyarrow; install it (pip install pyarrow), or give CSV" in err


def test_no_server_is_a_failure_and_no_mistake(write, capsys):
    path = write("r.csv", table(STEPS))

    assert main(["stream", "--target", "127.0.0.1:1", "--model", "sum", "--input", str(path)]) == 1
    assert capsys.readouterr().err.startswith("error: no server answers at 127.0.0.1:1: ")
    assert main(["stream", "--target", "nowhere", "--model", "sum", "--input", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: target is 'nowhere'; write HOST:PORT")


# A process that was started in the background may have inherited that Ctrl-C is ignored.
RUN = """
import signal, sys
from statewise_client.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def start(*arguments):
    command = [sys.executable, "-c", RUN, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_each_line_of_a_live_source_is_answered_before_the_next_comes(serve):
    command = ("stream", "--target", serve().target, "--model", "sum", "--input", "-")
    with start(*command) as process:
        process.stdin.write("ax,ay,az\n")
        for line, answer in (("1,2,3", "1  low 1  high 3"), ("1,1,1", "2  low 2  high 4")):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == answer
        process.stdin.close()
        assert process.wait() == 0
        assert process.stderr.read().startswith("2 steps in ")


def test_interrupting_a_live_source_is_quiet(serve):
    server = serve()
    command = ("stream", "--target", server.target, "--model", "sum", "--input", "-")
    with start(*command) as process:
        process.stdin.write("ax,ay,az\n1,2,3\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == ""
    assert server.endings.get(timeout=10) == "cut"


def test_a_reader_that_has_seen_enough_is_no_error(serve):
    command = ("stream", "--target", serve().target, "--model", "sum", "--input", "-")
    with start(*command) as process:
        process.stdin.write("ax,ay,az\n1,2,3\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("1,2,3\n" * 3)
        process.stdin.close()
        assert process.wait() == 0
        assert process.stderr.read() == ""


def test_a_server_that_dies_is_told_in_a_line(serve):
    server = serve()
    command = ("stream", "--target", server.target, "--model", "sum", "--input", "-")
    command += ("--resume-timeout", "0")
    with start(*command) as process:
        process.stdin.write("ax,ay,az\n1,2,3\n")
        process.stdin.flush()
        assert process.stdout.readline()
        server.stop()
        process.stdin.write("1,2,3\n")
        process.stdin.close()
        assert process.wait() == 1
        (error,) = process.stderr.read().splitlines()
        assert error.startswith("error: ")
        assert "' was ended" in error
