"""A mistake in a command's words, and the end of its output where nobody takes it."""

import subprocess
import sys

import pytest

# One a package that may import no other, and the exit code where the reader has gone.
CONSOLES = [
    ("training.console", 141),
    ("service.console", 141),
    ("statewise_client.command.console", 0),
]
RUN = """
import sys
from {module} import with_output
def run():
    for _ in range(20_000):
        print("a line", flush={flush})
    return 3
sys.exit(with_output(run))
"""


def run(module: str, stdout: str, flush: bool) -> "subprocess.CompletedProcess[str]":
    script = RUN.format(module=module, flush=flush)
    words = ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {stdout}', sys.executable, script]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(("module", "code"), CONSOLES)
def test_a_reader_that_has_gone_is_no_fault(module: str, code: int, flush: bool) -> None:
    done = run(module, "| head -c1 >&2", flush)
    assert (done.returncode, done.stderr) == (code, "a")


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(("module", "_code"), CONSOLES)
def test_a_full_disk_is_one_line(module: str, _code: int, flush: bool) -> None:
    done = run(module, "> /dev/full", flush)
    assert done.returncode == 1
    assert done.stderr == "error: the output can't be written: No space left on device\n"


@pytest.mark.parametrize(("module", "_code"), CONSOLES)
def test_a_closed_output_is_nobodys_concern(module: str, _code: int) -> None:
    assert run(module, ">&-", False).returncode == 3
    assert run(module, "> /dev/null", False).returncode == 3


# Each command with its own way to a mistake, and whose help it names.
COMMANDS = [
    ("training fit --epoch x", "training fit"),
    ("training", "training"),
    ("export random models/1 --feature 3", "export random"),
    ("export nothing", "export"),
    ("service serve --prot 1", "service serve"),
    ("benchmarks tick --repeat", "benchmarks tick"),
    ("benchmarks nothing", "benchmarks"),
    ("demo fast", "demo"),
]


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_a_mistake_in_the_words_of_a_command_is_one_line(words: str, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words.split()], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert told.startswith("error: ")
    assert told.endswith(f"; see python -m {command} --help")
