"""The end of a command's output, where nobody takes it."""

import subprocess
import sys

import pytest

MODULE = "training.console"
READER_GONE = 141
RUN = """
import sys
from {module} import with_output
def run():
    for _ in range(20_000):
        print("a line", flush={flush})
    return 3
sys.exit(with_output(run))
"""


def run(stdout: str, flush: bool) -> "subprocess.CompletedProcess[str]":
    script = RUN.format(module=MODULE, flush=flush)
    words = ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {stdout}', sys.executable, script]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("flush", [False, True])
def test_a_reader_that_has_gone_is_no_fault(flush: bool) -> None:
    done = run("| head -c1 >&2", flush)
    assert (done.returncode, done.stderr) == (READER_GONE, "a")


@pytest.mark.parametrize("flush", [False, True])
def test_a_full_disk_is_one_line(flush: bool) -> None:
    done = run("> /dev/full", flush)
    assert done.returncode == 1
    assert done.stderr == "error: the output can't be written: No space left on device\n"


def test_a_closed_output_is_nobody_s_concern() -> None:
    assert run(">&-", False).returncode == 3
    assert run("> /dev/null", False).returncode == 3
