"""Which questions are asked again, and where: the rules, and both clients that keep to them."""

import asyncio
from collections import Counter

import pytest
from fake_model import distinct
from statewise_client.asking import Asking
from statewise_client.errors import ConnectionBroken, ConnectionFailed, StreamRefused

AWAY = ConnectionFailed("no server answers at one:1: refused")
LATE = ConnectionFailed("no server answers at one:1 within 10 s", begun=True)
BROKEN = ConnectionBroken("the call to one:1 broke off: socket closed")
RESET = StreamRefused("INTERNAL", "Received RST_STREAM with error code 2")
STOPPING = StreamRefused("UNAVAILABLE", "it stops", reason="SERVER_STOPPING", retry_after=1.0)
BUSY = StreamRefused("UNAVAILABLE", "another has it", reason="STREAM_BUSY", retry_after=0.1)
STORE = StreamRefused("UNAVAILABLE", "away", reason="STORE_UNAVAILABLE", retry_after=1.0)
UNKNOWN = StreamRefused("NOT_FOUND", "unknown", reason="STREAM_NOT_FOUND")
STEPS = distinct(6, seed=1)


def asking(*, reads, seconds=60.0, met=False, now=(100.0,)):
    return Asking(
        ["one:1", "two:2", "three:3"], seconds, reads=reads, met=met, clock=lambda: now[-1]
    )


@pytest.mark.parametrize("reads", [True, False])
def test_where_no_server_is_the_next_is_asked_at_once_and_each_once(reads):
    way = asking(reads=reads)
    assert (way.target, way.after(AWAY), way.target) == ("one:1", 0.0, "two:2")
    assert (way.after(AWAY), way.target) == (0.0, "three:3")
    with pytest.raises(ConnectionFailed) as caught:
        way.after(AWAY)
    assert caught.value is AWAY


@pytest.mark.parametrize("error", [BROKEN, RESET])
def test_what_reads_is_asked_again_where_it_broke_off(error):
    way = asking(reads=True)
    assert way.after(error) <= 0.05
    assert way.target == "one:1"
    # A server was there: it may come back.
    tried = [way.target for _ in range(6) if way.after(AWAY) <= 2.0]
    assert tried == ["two:2", "three:3", "one:1"] * 2


@pytest.mark.parametrize("error", [BROKEN, RESET, LATE])
def test_what_may_be_done_is_not_asked_again(error):
    with pytest.raises(type(error)) as caught:
        asking(reads=False, met=True).after(error)
    assert caught.value is error


def test_what_reads_is_asked_elsewhere_where_nobody_answers_in_time():
    way = asking(reads=True)
    assert (way.after(LATE), way.target) == (0.0, "two:2")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("error", [STOPPING, BUSY, AWAY])
def test_where_nothing_was_done_all_is_asked_again(reads, error):
    way = asking(reads=reads, met=True)
    assert all(way.after(error) <= 2.0 for _ in range(20))


@pytest.mark.parametrize("error", [UNKNOWN, STORE])
def test_other_refusals_are_told(error):
    with pytest.raises(StreamRefused) as caught:
        asking(reads=True, met=True).after(error)
    assert caught.value is error


def test_it_is_given_up_in_the_end_with_the_last_answer():
    now = [100.0]
    way = asking(reads=True, now=now)
    way.after(BROKEN)
    now.append(159.0)
    way.after(AWAY)
    now.append(161.0)
    with pytest.raises(ConnectionFailed) as caught:
        way.after(AWAY)
    assert caught.value is AWAY
    with pytest.raises(ConnectionBroken):
        asking(reads=True, seconds=0.0).after(BROKEN)


async def test_questions_are_asked_again_on_the_same_server(serve, connect):
    server = serve()
    async with connect(server.target) as client, client.open("sum", "", "a") as stream:
        await stream.push(STEPS)
        blob = await client.export_state("a")
        server.asked.clear()
        server.breaks = Counter(Export=2, List=1)
        assert await client.export_state("a") == blob
        assert [one.stream_id async for one in client.list_streams()] == ["a"]
        server.refuses = {"Import": "SERVER_STOPPING", "Close": "STREAM_BUSY"}
        assert (await client.import_state(blob, "b")).stream_id == "b"
        assert (await client.close_stream("b")).steps == 6
    assert Counter(server.asked) == Counter(Export=3, List=2, Import=2, Close=2)


async def test_a_change_that_broke_off_is_done_once_at_most(serve, connect):
    here, there = serve(), serve()
    there.kept = here.kept
    async with (
        connect([here.target, there.target]) as client,
        client.open("sum", "", "a") as stream,
    ):
        await stream.push(STEPS)
        blob = await client.export_state("a")
        here.breaks = Counter(Import=1, Fork=1, Close=1)
        for change in (
            client.import_state(blob, "b"),
            client.fork("a"),
            client.close_stream("b"),
        ):
            with pytest.raises(ConnectionBroken, match="broke off: Socket closed; it may be done"):
                await change
    assert here.asked == ["Export", "Import", "Fork", "Close"]
    assert there.asked == []


async def test_a_server_that_comes_back_is_waited_for(serve, connect):
    server = serve()
    async with connect(server.target) as client:
        assert [one async for one in client.list_streams()] == []
        await asyncio.to_thread(server.stop)
        question = asyncio.ensure_future(client.close_stream("a"))
        await asyncio.to_thread(server.start)
        with pytest.raises(StreamRefused) as refusal:
            await question
    assert refusal.value.reason == "STREAM_NOT_FOUND"
