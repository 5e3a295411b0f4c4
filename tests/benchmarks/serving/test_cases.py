from benchmarks.model import USUAL
from benchmarks.processes import Server
from benchmarks.serving.cases import Case, plan
from benchmarks.serving.contenders import CONTENDERS, GROUPS, OURS, STATEWISE, TRITON, choose
from benchmarks.serving.settings import PARTS, ServingSettings

SETTINGS = ServingSettings(streams=(1, 64), rates=(500.0, 100.0), connections=4)


def cases() -> list[Case]:
    return [case for visit in plan(PARTS, CONTENDERS, SETTINGS) for case in visit.cases]


def test_every_case_has_a_name_of_its_own():
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert "idle: MLServer, (32,128,2), workers 1, streams 4000, silent" in names


def test_whoever_is_compared_follows_one_another():
    visits = list(plan(["sizes"], CONTENDERS, SETTINGS))
    for start in range(0, len(visits), len(CONTENDERS)):
        group = visits[start : start + len(CONTENDERS)]
        assert [one.contender for one in group] == list(CONTENDERS)
        assert len({one.sizes for one in group}) == 1
    assert len({one.sizes for one in visits}) == 4


def test_rates_rise_so_that_the_first_too_high_ends_them():
    (visit,) = plan(["open"], [STATEWISE], SETTINGS)
    assert [load.rate for load in visit.loads] == [100.0, 500.0]


def test_only_servers_with_workers_are_measured_with_them():
    visits = list(plan(["workers"], CONTENDERS, SETTINGS))
    assert {one.contender for one in visits} == set(OURS)
    assert [one.workers for one in visits] == [1, 2, 1, 2]
    assert [one.shares_cores for one in visits] == [False, True, False, True]
    assert [[load.chunk_steps for load in one.loads] for one in visits] == [[1, 16]] * 2 + [[1]] * 2


def test_a_load_fits_its_server():
    (visit,) = plan(["closed"], [TRITON], SETTINGS)
    alone, crowd = (case.load_settings(Server(7, 8), SETTINGS) for case in visit.cases)
    assert (alone.streams, alone.connections) == (1, 1)
    assert (crowd.streams, crowd.connections) == (64, 4)
    assert (crowd.wire, crowd.features) == ("triton", USUAL.features)
    assert (crowd.server_pid, crowd.port) == (7, 8)


def test_peers_are_chosen_by_name_or_group_and_ours_are_always_there():
    assert choose(["none"]) == list(OURS)
    assert choose(["triton"]) == [*OURS, TRITON]
    assert choose(["plain", "triton"]) == [*OURS, *GROUPS["plain"], TRITON]
    assert choose(["all"]) == list(CONTENDERS)
