import pytest
from clocks import Clock

from service.callers.quotas import Limits, Quotas
from service.errors import Exhausted, RateExceeded


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def quotas(clock):
    return Quotas(Limits(2), clock)


def test_a_caller_has_so_many_streams_and_no_more(quotas):
    one, other = quotas.of("one"), quotas.of("other")
    one.enter()
    one.enter()
    with pytest.raises(Exhausted) as refused:
        one.enter()
    assert refused.value.reason == "CALLER_STREAMS"
    assert refused.value.retry_after
    other.enter()
    one.leave()
    one.enter()
    assert (one.streams, other.streams) == (2, 1)


def test_a_caller_has_as_many_inference_calls_beside_its_streams(quotas):
    one = quotas.of("one")
    for _ in range(2):
        one.enter()
        one.enter_call()
    with pytest.raises(Exhausted, match="2 inference calls are open") as refused:
        one.enter_call()
    assert refused.value.reason == "CALLER_STREAMS"
    one.leave_call()
    one.enter_call()
    assert (one.streams, one.calls) == (2, 2)


def test_limits_that_change_keep_what_is_counted(quotas):
    quotas.of("one").enter()
    quotas.limit("one", 1, 0)
    with pytest.raises(Exhausted):
        quotas.of("one").enter()
    quotas.limit("one", None, 0)
    quotas.of("one").enter()
    assert quotas.of("one").limits == Limits(2, 0)


def test_steps_come_at_the_rate_and_a_refusal_says_when(quotas, clock):
    quotas.limit("one", None, 10)
    quota = quotas.of("one")
    assert quota.rated
    clock.now += 60
    for _ in range(10):
        quota.take(1)
    with pytest.raises(RateExceeded) as refused:
        quota.take(1)
    assert refused.value.reason == "CALLER_RATE"
    assert refused.value.retry_after == pytest.approx(0.1)
    clock.now += refused.value.retry_after
    quota.take(1)
    with pytest.raises(RateExceeded):
        quota.take(1)


def test_a_chunk_of_many_seconds_is_taken_and_waited_for(quotas, clock):
    quotas.limit("one", None, 10)
    quota = quotas.of("one")
    clock.now += 1
    quota.take(50)
    for _ in range(4):
        with pytest.raises(RateExceeded) as refused:
            quota.take(1)
        clock.now += 1
    assert refused.value.retry_after == pytest.approx(1.1)
    clock.now += 0.1
    quota.take(1)


def test_over_a_long_time_the_average_is_the_rate(quotas, clock):
    quotas.limit("one", None, 7)
    quota, taken = quotas.of("one"), 0
    for _ in range(10_000):
        clock.now += 0.01
        try:
            quota.take(3)
        except RateExceeded:
            continue
        taken += 3
    assert 700 <= taken <= 700 + 7 + 3


def test_without_a_rate_nothing_is_asked_for(quotas):
    assert not quotas.of("one").rated
