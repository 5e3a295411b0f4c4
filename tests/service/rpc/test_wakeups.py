"""In processes of their own, since all settings are the whole process's."""

import subprocess
import sys

import pytest

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
