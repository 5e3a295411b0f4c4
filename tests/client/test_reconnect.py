"""Where a broken stream goes, when, and when it is given up: with a clock of the test's own."""

import pytest
from statewise_client.errors import (
    ConnectionFailed,
    ProtocolError,
    StreamFailed,
    StreamMisused,
    StreamRefused,
)
from statewise_client.reconnect import Recovery, mends

BROKEN = StreamFailed("UNAVAILABLE", "stream 'a' was ended: socket closed")
GONE = ConnectionFailed("no server answers at one:1: refused; start one there")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def recovery(clock: Clock, *targets: str, seconds: float = 60.0) -> Recovery:
    """Always takes the longest pause that it may."""
    return Recovery(targets, targets[0], seconds, clock=clock, uniform=lambda low, high: high)


def test_each_server_is_tried_in_turn_and_ever_more_rarely() -> None:
    clock = Clock()
    way = recovery(clock, "one:1", "two:2")
    tried = []
    for error in [BROKEN, *[GONE] * 9]:
        pause = way.after(error, "a", received=4)
        clock.now += pause
        tried.append((way.target, pause))
    # The first again, where the state is; then the other.
    assert [target for target, _ in tried] == ["one:1", "two:2"] * 5
    pauses = [0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4, 0.8, 0.8]
    assert [pause for _, pause in tried] == pytest.approx(pauses)


def test_no_pause_is_above_two_seconds() -> None:
    clock = Clock()
    way = recovery(clock, "one:1", seconds=1e9)
    assert max(way.after(GONE, "a", received=4) for _ in range(1000)) == 2.0


def test_a_new_result_is_a_new_start() -> None:
    clock = Clock()
    way = recovery(clock, "one:1", seconds=10.0)
    for received in range(50):
        clock.now += 9.0
        assert way.after(BROKEN, "a", received) == 0.05


def test_a_loss_and_its_end_are_logged_once_each(caplog) -> None:
    caplog.set_level("INFO", "statewise_client")
    way = recovery(Clock(), "one:1", "two:2", seconds=30.0)
    way.went_on()
    for _ in range(2):
        for _ in range(4):
            way.after(GONE, "a", received=4)
        way.went_on()
    on = [f"it goes on with {target}" for target in ("two:2", "two:2")]
    lost = [f"the connection to {one} is lost; trying again for 30 s" for one in ("one:1", "two:2")]
    assert caplog.messages == [lost[0], on[0], lost[1], on[1]]


def test_without_one_a_stream_is_given_up() -> None:
    clock = Clock()
    way = recovery(clock, "one:1", seconds=10.0)
    way.after(BROKEN, "a", received=4)
    clock.now += 9.0
    way.after(GONE, "a", received=4)
    clock.now += 1.1
    with pytest.raises(StreamFailed, match="given up after 3 tries within 10 s") as failed:
        way.after(GONE, "a", received=4)
    assert failed.value.code == "UNAVAILABLE"


def test_a_server_is_given_the_time_that_it_asks_for() -> None:
    stopping = StreamRefused("UNAVAILABLE", "stopping", reason="SERVER_STOPPING", retry_after=5.0)
    clock = Clock()
    alone = recovery(clock, "one:1")
    assert alone.after(stopping, "a", received=4) == 5.0

    # Nobody has to wait for it where there is another.
    way = recovery(clock, "one:1", "two:2")
    assert (way.after(stopping, "a", received=4), way.target) == (0.05, "two:2")
    assert (way.after(GONE, "a", received=4), way.target) == (0.05, "two:2")


def test_time_that_is_asked_for_beyond_the_end_is_not_waited_for() -> None:
    full = StreamRefused("RESOURCE_EXHAUSTED", "full", retry_after=90.0)
    with pytest.raises(StreamFailed, match="stream 'a' can't go on: full; given up") as failed:
        recovery(Clock(), "one:1").after(full, "a", received=4)
    assert failed.value.retry_after == 90.0


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (GONE, True),
        (BROKEN, True),
        (StreamFailed("CANCELLED", "the server's"), True),
        (StreamFailed("INTERNAL", "Received RST_STREAM with error code 2"), True),
        (StreamFailed("INTERNAL", "stream 'a' was ended: Internal error from Core"), True),
        (StreamFailed("INTERNAL", "Internal error from Core", reason="MODEL_FAILED"), False),
        (StreamRefused("RESOURCE_EXHAUSTED", "full", retry_after=1.0), True),
        (StreamFailed("RESOURCE_EXHAUSTED", "message too large"), False),
        (StreamFailed("INTERNAL", "a fault of the server"), False),
        (StreamFailed("UNAVAILABLE", "elsewhere", reason="TAKEN_OVER"), False),
        (StreamRefused("NOT_FOUND", "no such stream"), False),
        (StreamFailed("DATA_LOSS", "the model failed"), False),
        (ProtocolError("nonsense"), False),
        (StreamMisused("closed"), False),
    ],
)
def test_which_failures_another_try_may_mend(error, wanted) -> None:
    assert mends(error) is wanted
