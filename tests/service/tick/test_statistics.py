from service.tick.statistics import Durations, Statistics


def test_every_step_of_a_call_counts_for_all_the_time_that_the_call_took():
    sums = Statistics()
    sums.tick(3, 50, 10, 200, 7)
    sums.tick(1, 4, 2, 30, 5)
    sums.tick(3, 60, 11, 210, 6)
    assert sums.steps == Durations(
        7, input_ns=3 * 21 + 2, infer_ns=3 * 410 + 30, output_ns=3 * 13 + 5
    )
    assert (sums.calls, sums.queue_ns) == (3, 114)
    assert sums.by_rows == {3: Durations(2, 21, 410, 13), 1: Durations(1, 2, 30, 5)}
    assert sums.last_ms > 0
