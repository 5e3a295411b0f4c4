"""In processes of their own, since all settings are the whole process's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import serving
from statewise_client.blocking import Client

MESSAGES = 300
_PRELUDE = """
import asyncio, os, threading
import grpc, uvloop
from service.rpc.wakeups import wake_in_batches
"""


def run(body: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + body], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_grpc_takes_the_draining_socket():
    # Where this fails, a release of gRPC wakes the loop in another way: measure, then change.
    body = """
async def main():
    print(wake_in_batches())
uvloop.run(main())
"""
    assert run(body) == "True"


def test_one_look_takes_every_byte_that_waits():
    body = """
import socket
from service.rpc import wakeups
with wakeups._draining_pairs() as made:
    reader, writer = socket.socketpair()
assert made == [reader]
assert type(socket.socketpair()[0]) is socket.socket
writer.send(b"x" * 1000)
print(len(reader.recv(1)))
"""
    assert run(body) == "1000"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SCHED_BATCH is Linux's")
def test_every_thread_of_grpc_runs_in_batches():
    body = """
async def main():
    wake_in_batches()
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    policies = {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}
    print(policies == {os.SCHED_BATCH})
    await server.stop(None)
uvloop.run(main())
"""
    assert run(body) == "True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's threads have a niceness")
def test_the_poller_gives_way_and_the_loop_does_not():
    body = """
loop = threading.get_native_id()
before = set(os.listdir("/proc/self/task"))
usual = os.getpriority(os.PRIO_PROCESS, 0)
async def main():
    wake_in_batches()
    made = set(os.listdir("/proc/self/task")) - before
    nice = {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in made}
    print(nice == {min(usual + 10, 19)}, os.getpriority(os.PRIO_PROCESS, loop) == usual)
uvloop.run(main())
"""
    assert run(body) == "True True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts threads' switches")
def test_no_thread_stands_between_the_poller_and_a_message(model_path):
    def switches(pid: int) -> int:
        """Of the threads that gRPC keeps for reading sockets."""
        count = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.joinpath("comm").read_text().startswith("event_engine"):
                lines = task.joinpath("status").read_text().splitlines()
                count += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return count

    with (
        serving(model_path) as server,
        Client(server.target) as client,
        client.open("random") as stream,
    ):
        step = np.zeros(len(stream.info.features))
        stream.push(step)
        before = switches(server.process.pid)
        for _ in range(MESSAGES):
            stream.push(step)
        # Timers switch to them now and then; if they read, it is three times a message.
        assert switches(server.process.pid) - before < MESSAGES / 2
