import os
import subprocess
import sys
import time

import pytest

from benchmarks import cores
from benchmarks.errors import SettingsError


def test_server_and_load_have_a_core_each():
    both = cores.choose()
    assert both.server != both.load
    assert {both.server, both.load} <= os.sched_getaffinity(0)


def test_two_threads_of_one_core_are_avoided(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(cores, "_siblings", lambda _: {0, 3})
    assert cores.choose() == cores.Cores(server=0, load=2)


def test_one_core_is_not_enough():
    with cores.pinned(min(os.sched_getaffinity(0))), pytest.raises(SettingsError, match="1 core"):
        cores.choose()


def test_pinning_ends_with_its_body():
    before = os.sched_getaffinity(0)
    assert len(before) > 1
    with pytest.raises(ZeroDivisionError), cores.pinned(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before


def test_processor_time_counts_a_process_its_children_and_the_ended_ones():
    # Neither the child that has ended nor the one that lives comes so far alone.
    burn = "import sys, time\nwhile time.process_time() < 0.2: pass\n"
    code = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        f"child = subprocess.Popen([sys.executable, '-c', {burn!r} + 'sys.stdin.read()'])\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        while cores.cpu_seconds(cores.process_tree(process.pid)) < 0.35:
            assert process.poll() is None
        process.communicate()


def test_a_process_that_is_gone_counts_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cores.cpu_seconds([process.pid]) == 0


def test_the_machine_s_time_has_that_of_its_processes():
    before, mine = cores.machine_cpu_seconds(), time.process_time()
    while time.process_time() - mine < 0.2:
        pass
    assert cores.machine_cpu_seconds() - before >= 0.15
