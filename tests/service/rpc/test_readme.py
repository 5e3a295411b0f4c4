"""The README's program, as it stands there, with a server that is killed while it runs."""

import re
import socket
from pathlib import Path
from textwrap import dedent

import numpy as np
from processes import serving

README = (Path(__file__).parents[3] / "README.md").read_text()
COMMANDS = re.findall(r"^    (python -m service serve .*--state-store .*)$", README, re.MULTILINE)
SECTION = README.partition("## From Python\n")[2]
PROGRAM = dedent(re.findall(r"(?:^    .*\n|^\n(?=    ))+", SECTION, re.MULTILINE)[0])
STEPS = np.random.default_rng(5).standard_normal((12, 5))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_the_program_outlives_a_server_that_is_killed(make_model, tmp_path):
    model_path = make_model(name="activity")
    ports = [re.search(r"--port (\d+)", command).group(1) for command in COMMANDS]
    assert all(f"127.0.0.1:{port}" in PROGRAM for port in ports)
    free = {port: free_port() for port in ports}
    program = PROGRAM
    for port in ports:
        program = program.replace(f":{port}", f":{free[port]}")
    store = ("--state-store", f"sqlite:{tmp_path}/states.db")
    answers = []
    with (
        serving(model_path, *store, "--port", free[ports[0]]) as first,
        serving(model_path, *store, "--port", free[ports[1]]),
    ):

        def packets():
            for number, step in enumerate(STEPS):
                if number == 5:
                    first.process.kill()
                    first.process.wait()
                yield step

        exec(program, {"packets": packets, "show": answers.append})

    with serving(model_path) as server:
        whole = program.replace(str(free[ports[0]]), server.target.rpartition(":")[2])
        expected = []
        exec(whole, {"packets": lambda: STEPS, "show": expected.append})
    assert np.stack(answers).tobytes() == np.stack(expected).tobytes()
