"""The command as a user starts it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def arguments(classifier, steps, save, tmp_path):
    return [
        "score",
        f"--model={classifier.path}",
        f"--input={save(steps())}",
        f"--output={tmp_path / 'answers.parquet'}",
        "--entity=device",
        "--order=second",
    ]


def run(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_scores_a_file_and_says_so(arguments, tmp_path):
    done = run("-m", "service", *arguments)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scored  8 rows of 3 entities\n")
    assert "self-test off by" in done.stderr
    assert parquet.read_table(tmp_path / "answers.parquet").num_rows == 8


def test_a_mistake_is_one_line_and_exit_2(arguments):
    done = run("-m", "service", *arguments, "--order=minute")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "has no column 'minute' (the nearest is " in done.stderr
    assert "Traceback" not in done.stderr


def test_it_does_without_grpc(arguments):
    program = (
        "import sys; from service.__main__ import main; code = main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules}); sys.exit(code)"
    )
    done = run("-c", program, *arguments)

    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "onnxruntime" in loaded
    assert {"grpc", "grpc_health", "grpc_reflection", "uvloop"} & set(loaded) == set()


def test_its_help_has_an_example():
    done = run("-m", "service", "score", "--help")

    assert done.returncode == 0
    assert "example:\n  python -m service score --model " in done.stdout
