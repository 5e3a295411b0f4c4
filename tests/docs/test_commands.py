"""Every command that the pages show is one that its program understands."""

import re
import shlex
from pathlib import Path

import pytest
import statewise_client.__main__

import benchmarks.__main__
import export.arguments
import service.__main__
import training.__main__

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSERS = {
    "python -m training": training.__main__._parser,
    "python -m export": export.arguments.parser,
    "python -m service": service.__main__._parser,
    "python -m benchmarks": benchmarks.__main__._parser,
    "statewise": statewise_client.__main__._parser,
}


def shown() -> list[tuple[str, str]]:
    """Command and page of each line of code that calls one of our programs."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^    (.+)$", text, re.MULTILINE):
            command = line.partition(" #")[0].strip()
            if command.startswith(tuple(f"{program} " for program in PARSERS)):
                found.append((command, page.name))
    return found


def test_the_pages_show_commands_of_every_program():
    programs = {
        program for program in PARSERS for command, _ in shown() if command.startswith(program)
    }
    assert programs == set(PARSERS)


@pytest.mark.parametrize(("command", "page"), shown())
def test_a_shown_command_is_understood(command, page):
    program = next(program for program in PARSERS if command.startswith(f"{program} "))
    words = shlex.split(command.removeprefix(program))
    assert PARSERS[program]().parse_args(words), page


def test_make_targets_that_the_readme_names_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^    make (\w+)", PAGES[0].read_text(), re.MULTILINE)) <= targets
