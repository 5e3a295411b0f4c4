"""Turns with servers and loads that are played; other tests of this folder have real ones."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from benchmarks_samples import sample

from benchmarks import model, processes
from benchmarks.cores import Cores
from benchmarks.errors import LoadError, PeerMissingError, ServerError, WrongAnswerError
from benchmarks.serving import bench as module
from benchmarks.serving.bench import OVER_THE_LIMIT, Bench
from benchmarks.serving.cases import Case, Load, Visit
from benchmarks.serving.contenders import PLAIN_AIO, STATEWISE
from benchmarks.serving.settings import ServingSettings

OURS = replace(STATEWISE, command=lambda one: ["ours", str(one.workers)])
PEER = replace(PLAIN_AIO, command=lambda one: ["peer", str(one.workers)])
SETTINGS = ServingSettings(repeats=2, seconds=1.0, streams=(1, 64), rates=(500.0, 1000.0, 2000.0))


class Stage:
    """What was started and measured, and who fails where."""

    def __init__(self):
        self.started = []
        self.loads = []
        self.start_errors = {}
        self.load_errors = {}
        self.steps = 1000
        self.other_cpu = iter(())

    @contextmanager
    def serving(self, command, *which):
        self.started.append((*command, which))
        if error := self.start_errors.get(command[0]):
            raise error
        self.server = command[0]
        yield processes.Server(pid=1, port=1)

    def run(self, load, core, path, tolerance):
        self.loads.append((self.server, load.streams, load.rate))
        if error := self.load_errors.get((self.server, load.streams)):
            raise error
        shape = Load(load.streams, load.connections, load.rate, load.idle)
        visit = Visit("open" if load.rate else "closed", STATEWISE, (shape,))
        return sample(Case(visit, shape), self.steps, other_cpu=next(self.other_cpu, 0.0))


@pytest.fixture
def stage(monkeypatch):
    stage = Stage()
    monkeypatch.setattr(module.processes, "serving", stage.serving)
    monkeypatch.setattr(module.trial, "run", stage.run)
    monkeypatch.setattr(model, "make", lambda place, sizes: None)
    return stage


@pytest.fixture
def bench(stage, tmp_path):
    return Bench(tmp_path, SETTINGS, Cores(server=3, load=5))


def test_servers_take_turns_each_freshly_started_on_its_core(stage, bench):
    found = bench.run(["closed"], [OURS, PEER])
    assert stage.started == [("ours", "1", (3,)), ("peer", "1", (3,))] * 2
    assert stage.loads == [("ours", 1, 0), ("ours", 64, 0), ("peer", 1, 0), ("peer", 64, 0)] * 2
    assert [len(trials) for trials in found.trials.values()] == [2, 2, 2, 2]
    assert found.failures == {}


def test_workers_share_the_load_s_core(stage, bench):
    bench.run(["workers"], [OURS, PEER])
    assert stage.started == [("ours", "1", (3,)), ("ours", "2", (3, 5))] * 2


def test_a_peer_that_can_t_be_had_is_left_out(stage, bench, capsys):
    def missing(_):
        raise PeerMissingError("triton is left out: no such wheel")

    found = bench.run(["closed"], [OURS, replace(PEER, command=missing)])
    assert {case.visit.contender for case in found.trials} == {OURS}
    assert found.failures == {}
    assert capsys.readouterr().err.count("triton is left out: no such wheel\n") == 1


@pytest.mark.parametrize("error", [LoadError("refused"), WrongAnswerError("other bits")])
def test_a_peer_that_fails_under_a_load_goes_on_with_the_next_and_is_not_asked_again(
    stage, bench, error
):
    stage.load_errors = {("peer", 1): error}
    found = bench.run(["closed"], [PEER])
    assert stage.loads == [("peer", 1, 0), ("peer", 64, 0), ("peer", 64, 0)]
    assert [(case.load.streams, text) for case, text in found.failures.items()] == [(1, str(error))]
    assert [(case.load.streams, len(all_)) for case, all_ in found.trials.items()] == [(64, 2)]


def test_a_peer_that_does_not_start_fails_in_all_its_loads(stage, bench):
    stage.start_errors = {"peer": ServerError("it ended")}
    found = bench.run(["closed"], [OURS, PEER])
    assert len(stage.started) == 3
    assert set(found.failures.values()) == {"it ended"}
    assert {case.visit.contender for case in found.trials} == {OURS}
    assert len(found.failures) == len(found.trials) == 2


def test_our_own_failure_is_that_of_the_run(stage, bench):
    stage.load_errors = {("ours", 64): LoadError("refused")}
    with pytest.raises(LoadError, match="refused"):
        bench.run(["closed"], [OURS, PEER])


def test_rates_end_with_the_first_that_is_too_high(stage, bench):
    stage.steps = 900
    found = bench.run(["open"], [OURS])
    assert stage.loads == [("ours", 64, 500), ("ours", 64, 1000)] * 2
    assert [case.load.rate for case in found.trials] == [500, 1000]
    assert {case.load.rate: text for case, text in found.failures.items()} == {2000: OVER_THE_LIMIT}


def test_what_was_disturbed_is_measured_again_and_the_least_of_it_stays(stage, bench):
    stage.other_cpu = iter([0.5, 0.05, 0.4, 0.3, 0.6])
    found = bench.run(["closed"], [OURS])
    assert [streams for _, streams, _ in stage.loads] == [1, 1, 64, 64, 64, 1, 64]
    kept = {
        case.load.streams: [one.report.other_cpu_seconds for one in trials]
        for case, trials in found.trials.items()
    }
    assert kept == {1: [0.05, 0.0], 64: [0.3, 0.0]}
