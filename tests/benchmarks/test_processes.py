import os
import sys

import pytest

from benchmarks import cores, processes
from benchmarks.errors import BenchmarkError, LoadError, ServerError

READY = "print('noise'); print('ready: grpc 127.0.0.1:4321 metrics off', flush=True);"
FOREVER = "import time; time.sleep(600)"
WITH_CHILD = (
    "import subprocess, sys;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def core():
    return min(os.sched_getaffinity(0))


def test_a_server_is_ready_with_its_port_on_its_core(core, is_running):
    mine = os.sched_getaffinity(0)
    with processes.serving(python(READY + FOREVER), core) as server:
        assert server.port == 4321
        assert os.sched_getaffinity(server.pid) == {core}
        assert os.sched_getaffinity(0) == mine
    assert not is_running(server.pid)


def test_a_server_and_its_children_end_however_the_body_ends(core, monkeypatch, is_running):
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.2)
    with (
        pytest.raises(ZeroDivisionError),
        processes.serving(python(DEAF + WITH_CHILD + READY + FOREVER), core) as server,
    ):
        tree = cores.process_tree(server.pid)
        assert len(tree) == 2
        raise ZeroDivisionError
    # The kernel ends what was killed a moment later; the suite's timeout is the limit.
    while any(map(is_running, tree)):
        pass


def test_a_server_that_ends_at_its_start_is_an_error_with_its_last_words(core):
    with (
        pytest.raises(ServerError, match="ended at its start: no such model"),
        processes.serving(python("import sys; sys.exit('error: no such model')"), core),
    ):
        pytest.fail("it never was ready")


def test_a_server_that_is_never_ready_is_ended(core, monkeypatch):
    monkeypatch.setattr(processes, "_START_SECONDS", 0.3)
    with (
        pytest.raises(ServerError, match="not ready after"),
        processes.serving(python(FOREVER), core),
    ):
        pytest.fail("it never was ready")


def test_a_command_gives_what_it_printed(core):
    assert processes.run(python("print('so')"), core, seconds=30) == "so\n"


def test_a_command_that_fails_says_why(core):
    with pytest.raises(LoadError, match=r"^too many$"):
        processes.run(python("import sys; sys.exit('error: too many')"), core, seconds=30)


def test_a_command_that_hangs_is_ended(core):
    with pytest.raises(BenchmarkError, match="took more than"):
        processes.run(python(FOREVER), core, seconds=0.3)
