"""Several workers as processes: one port, the dead replaced, none left behind."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from processes import command, failed, serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub


def children(pid):
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if parent_of(path) == pid
    ]


def parent_of(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def until(holds, what):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_ready(target):
    with grpc.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        try:
            return stub.ServerReady(wire.ServerReadyRequest(), timeout=5).ready
        except grpc.RpcError:
            return False


@pytest.fixture
def workers(model_path):
    with serving(model_path, "--workers", 2) as server:
        yield server, children(server.process.pid)


def test_workers_share_a_port_and_the_dead_are_replaced(workers):
    server, pids = workers
    assert len(pids) == 2
    assert len(set(server.metrics.split(","))) == 2
    assert is_ready(server.target)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: len(set(children(server.process.pid)) - set(pids)) == 1, "no other was started")
    assert pids[1] in children(server.process.pid)
    until(lambda: is_ready(server.target), "not ready again")
    assert server.stop() == 0
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


def test_memories_that_workers_do_not_share_are_warned_of_once(workers):
    server, _ = workers
    assert server.log().count("give --state-store sqlite:PATH or redis://HOST:PORT/DB") == 1


def test_no_worker_outlives_its_supervisor(workers):
    server, pids = workers
    server.process.kill()
    server.process.wait(30)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), "a worker lives on")


def test_a_taken_port_is_refused_in_one_line(workers, model_path):
    server, _ = workers
    repository = model_path.parent.parent.parent
    port = server.target.rpartition(":")[2]
    words = ("--workers", 2, "--port", port, "--state-store", "sqlite:unused.db")
    line = failed("--model-repository", repository, *words)
    assert f"port is {port}, which can't be had" in line


def test_a_worker_that_can_not_start_ends_the_whole(tmp_path):
    done = subprocess.run(
        command("--model-repository", tmp_path / "none", "--workers", 2, "--port", 0),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert re.search(r"error: worker \d ended at its start", done.stderr)
    assert "no such folder" in done.stderr
    assert "Traceback" not in done.stderr
