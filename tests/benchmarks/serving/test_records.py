import pytest
from benchmarks_samples import case, sample

from benchmarks.serving.bench import Findings
from benchmarks.serving.contenders import PLAIN_AIO, PLAIN_SYNC
from benchmarks.serving.records import summarize


def records(trials, failures=None):
    return {one["case"]: one for one in summarize(Findings(trials, failures or {}))}


def test_figures_are_medians_of_the_turns():
    one = case()
    turns = [sample(one, steps, p50=p50) for steps, p50 in ((900, 3.0), (1200, 2.0), (100, 9.0))]
    (record,) = summarize(Findings({one: turns}, {}))
    assert record["steps_per_second"] == 900
    assert record["steps_per_second_lowest"] == 100
    assert record["steps_per_second_highest"] == 1200
    assert (record["latency_p50_ms"], record["latency_p999_ms"]) == (3.0, 12.0)
    assert record["repeats"] == 3
    assert record["verified_steps"] == 2200
    assert "steps_per_second_times_plain" not in record


def test_a_server_is_compared_with_the_plain_one_of_the_same_load():
    mine, crowd, plain = case(), case(streams=1000), case(PLAIN_AIO)
    found = records({mine: [sample(mine, 3000)], crowd: [sample(crowd)], plain: [sample(plain)]})
    assert found[mine.name]["steps_per_second_times_plain"] == 3.0
    assert found[plain.name]["steps_per_second_times_plain"] == 1.0
    assert "steps_per_second_times_plain" not in found[crowd.name]


def test_workers_are_compared_with_one_by_time_and_by_processor_time():
    one, two = case(part="workers"), case(part="workers", workers=2)
    found = records(
        {one: [sample(one, 1000, server_cpu=1.0)], two: [sample(two, 1500, server_cpu=1.6)]}
    )[two.name]
    assert found["steps_per_second_times_one_worker"] == 1.5
    assert found["capacity_times_one_worker"] == pytest.approx(2 * 1500 / 1.6 / 1000)


@pytest.mark.parametrize(
    ("load_cpu", "rate", "limits"), [(0.95, 0, True), (0.8, 0, False), (1, 9, False)]
)
def test_a_load_that_filled_its_core_is_said(load_cpu, rate, limits):
    one = case(rate=rate)
    (record,) = summarize(Findings({one: [sample(one, load_cpu=load_cpu)]}, {}))
    assert record["load_limits"] is limits


def test_silence_has_memory_and_no_speed():
    one = case(part="idle")
    (record,) = summarize(Findings({one: [sample(one)]}, {}))
    assert record["idle_kib_per_stream"] == 2.0
    assert "steps_per_second" not in record


def test_a_failure_stands_where_its_figures_would():
    mine, other = case(), case(PLAIN_SYNC)
    found = records({mine: [sample(mine)]}, {other: "it broke"})
    assert (found[mine.name]["failure"], found[other.name]["failure"]) == ("", "it broke")
    assert "steps_per_second" not in found[other.name]
    assert found[other.name]["machine_cores"]
