import os
from pathlib import Path

import pytest

from demo import commands
from demo.commands import DemoError, run, server

_FAKE_SERVER = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("warming up")
print("ready: grpc 127.0.0.1:4711 metrics off", flush=True)
stop.wait(60)
open(sys.argv[1], "w").write("stopped well")
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that `python -m` finds."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_failing_step_is_named_with_its_exit_code(modules):
    (modules / "failing.py").write_text("import sys; sys.exit(3)")
    with pytest.raises(DemoError, match="`python -m failing --out x` failed with exit code 3"):
        run("fail", "failing", "--out", "x")


def test_a_server_gives_its_address_and_stops_with_the_block(modules):
    (modules / "serving.py").write_text(_FAKE_SERVER)
    told = modules / "told"
    with server("serve", "serving", told) as target:
        assert target == "127.0.0.1:4711"
        assert not told.exists()
    assert told.read_text() == "stopped well"


def test_a_server_stops_where_the_block_fails(modules):
    (modules / "serving.py").write_text(_FAKE_SERVER)
    with pytest.raises(ZeroDivisionError), server("serve", "serving", modules / "told"):
        _ = 1 / 0
    assert (modules / "told").exists()


def test_a_server_that_ends_before_it_is_ready_is_told(modules):
    (modules / "broken.py").write_text("import sys; sys.exit(2)")
    refused = pytest.raises(DemoError, match="exit code 2 before it was ready")
    with refused, server("serve", "broken"):
        pass


def test_a_server_that_ignores_sigterm_is_killed(modules, monkeypatch):
    monkeypatch.setattr(commands, "_STOP_SECONDS", 0.2)
    (modules / "stubborn.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "print('ready: grpc a:1 metrics off', flush=True)\n"
        "time.sleep(60)\n"
    )
    with server("serve", "stubborn", modules / "pid"):
        pid = int((modules / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
