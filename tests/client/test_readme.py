"""The README's programs run as they stand, and its commands are the command's."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from statewise_client.__main__ import main

README = (Path(__file__).parents[2] / "client/README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"(?<=statewise )(?:stream|health|state) [^#\n]*", README)
PRINTED = [
    "('ax', 'ay', 'az') ('low', 'high')\n51 steps taken\n",
    "",
    "goes on with chunk 2\n2 steps remembered\n[]\n",
    "NON_FINITE_INPUT\n",
]


@pytest.mark.parametrize(("program", "printed"), list(zip(PROGRAMS, PRINTED, strict=True)))
def test_a_program_runs(serve, program, printed):
    program = program.replace("localhost:8500", serve().target)

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == printed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")

    # Where there is neither file nor server, what it complains of is that, and not its options.
    command = command.replace("localhost:8500", "127.0.0.1:1")
    if "--target" not in command:
        command += " --target 127.0.0.1:1"
    steps = tmp_path / "steps"
    steps.write_text("ax,ay,az\n1,2,3\n")
    with steps.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(shlex.split(command)) in (1, 2)
    complaint = capsys.readouterr().err
    assert re.match("error: .*(no such file|no server|tell its health)", complaint, re.IGNORECASE)
