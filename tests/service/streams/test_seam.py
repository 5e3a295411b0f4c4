import asyncio

import numpy as np
import pytest
from fakes import FEATURES, FakeEngine, alone, chunk, distinct, fake_model, fake_streams

from service.errors import (
    AlreadyExists,
    Exhausted,
    InvalidArgument,
    ModelFault,
    NotFound,
    ProtocolViolation,
    Unavailable,
)
from service.streams.live import idle


async def test_a_stream_computes_what_it_would_alone():
    streams = fake_streams(fake_model())
    stream, inputs = streams.open("fake"), distinct(6, 1)
    first = await streams.push(stream, chunk(1, inputs[:1]))
    second = await streams.push(stream, chunk(2, inputs[1:]))
    assert np.concatenate([first, second]).tobytes() == alone(inputs).tobytes()
    assert streams.close(stream) == 6


async def test_the_newest_version_answers_unless_one_is_named():
    streams = fake_streams(fake_model(version=2), fake_model(version=10), fake_model(version=9))
    assert streams.open("fake").model.version == 10
    assert streams.open("fake", "9").model.version == 9


async def test_what_was_never_there_is_named_beside_what_is():
    streams = fake_streams(fake_model(name="alpha"), fake_model(name="beta"))
    with pytest.raises(NotFound, match="model is 'gamma'; this server has alpha, beta"):
        streams.open("gamma")
    for version in ("7", "latest", "-1"):
        with pytest.raises(NotFound, match=f"version of alpha is '{version}'; this server has 1"):
            streams.open("alpha", version)


async def test_an_id_belongs_to_one_live_stream():
    streams = fake_streams(fake_model())
    first = streams.open("fake", stream_id="pump-7")
    with pytest.raises(AlreadyExists, match="'pump-7', which is open"):
        streams.open("fake", stream_id="pump-7")
    streams.close(first)
    assert streams.open("fake", stream_id="pump-7").id == "pump-7"


async def test_ids_are_made_where_none_is_given_and_refused_where_too_long():
    streams = fake_streams(fake_model(), max_id_length=8)
    ids = {streams.open("fake").id for _ in range(10)}
    assert len(ids) == 10
    with pytest.raises(InvalidArgument, match="stream_id has 9 characters; take at most 8"):
        streams.open("fake", stream_id="x" * 9)


async def test_a_full_model_refuses_at_once_and_takes_the_next_after_a_close():
    streams = fake_streams(fake_model(capacity=2))
    stream = streams.open("fake")
    streams.open("fake")
    with pytest.raises(Exhausted):
        streams.open("fake")
    assert streams.live == 2
    streams.close(stream)
    streams.open("fake")


async def test_closing_twice_frees_one_slot():
    model = fake_model()
    streams = fake_streams(model)
    first = streams.open("fake", stream_id="same")
    streams.close(first)
    streams.open("fake", stream_id="same")
    streams.close(first)
    assert model.arena.slots.taken == streams.live == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sequence": 1}, "SEQUENCE_GAP"),
        ({"sequence": 3}, "SEQUENCE_GAP"),
        ({"dtype": "int8"}, "DTYPE"),
        ({"features": FEATURES + 1}, "FEATURE_COUNT"),
        ({"data": b"\0" * 7}, "BYTE_LENGTH"),
        ({"steps": 0}, "STEP_COUNT"),
        ({"data": np.full(FEATURES, np.nan, "<f4").tobytes()}, "NON_FINITE_INPUT"),
    ],
)
async def test_a_refused_chunk_leaves_the_stream_as_it_was(changes, reason):
    model = fake_model()
    streams = fake_streams(model)
    stream, inputs = streams.open("fake"), distinct(2, 5)
    await streams.push(stream, chunk(1, inputs[:1]))
    before = model.arena.rows.tobytes()
    with pytest.raises(InvalidArgument) as refused:
        await streams.push(stream, chunk(2, inputs[1:])._replace(**changes))
    assert refused.value.reason == reason
    assert model.arena.rows.tobytes() == before
    outputs = await streams.push(stream, chunk(2, inputs[1:]))
    assert outputs.tobytes() == alone(inputs)[1:].tobytes()


async def test_a_second_chunk_under_way_and_a_closed_stream_are_violations():
    streams = fake_streams(fake_model())
    stream, inputs = streams.open("fake"), distinct(2, 5)
    first = asyncio.create_task(streams.push(stream, chunk(1, inputs[:1])))
    await asyncio.sleep(0)
    with pytest.raises(ProtocolViolation, match="under way"):
        await streams.push(stream, chunk(2, inputs[1:]))
    await first
    streams.close(stream)
    with pytest.raises(ProtocolViolation, match="is closed"):
        await streams.push(stream, chunk(2, inputs[1:]))


async def test_a_cancelled_push_closes_its_stream():
    model = fake_model()
    streams = fake_streams(model)
    stream = streams.open("fake")
    task = asyncio.create_task(streams.push(stream, chunk(1, distinct(5, 1))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert streams.live == model.arena.slots.taken == 0


async def test_a_cancelled_push_leaves_nobody_waiting_for_its_end():
    streams = fake_streams(fake_model())
    stream = streams.open("fake")
    task = asyncio.create_task(streams.push(stream, chunk(1, distinct(50, 1))))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(idle(stream))
    await asyncio.sleep(0)
    task.cancel()
    await waiting
    assert not stream.busy


async def test_a_stream_closed_in_a_chunk_keeps_its_row_to_itself_until_that_is_done():
    model = fake_model()
    streams = fake_streams(model)
    first, long, short = streams.open("fake"), distinct(50, 1), distinct(20, 2)
    task = asyncio.create_task(streams.push(first, chunk(1, long)))
    await asyncio.sleep(0)
    streams.close(first)
    second = streams.open("fake")
    outputs = await streams.push(second, chunk(1, short))
    assert outputs.tobytes() == alone(short).tobytes()
    assert (await task).tobytes() == alone(long).tobytes()
    streams.close(second)
    assert streams.live == model.arena.slots.taken == 0


async def test_a_model_fault_closes_its_stream_alone():
    def crash(rows):
        engine.before_step = lambda rows: None
        raise RuntimeError

    engine = FakeEngine()
    streams = fake_streams(fake_model(engine))
    doomed, inputs = streams.open("fake"), distinct(1, 1)
    other = streams.open("fake")
    engine.before_step = crash
    with pytest.raises(ModelFault):
        await streams.push(doomed, chunk(1, inputs))
    assert streams.live == 1
    assert (await streams.push(other, chunk(1, inputs))).tobytes() == alone(inputs).tobytes()


async def test_draining_refuses_new_streams_and_waits_for_the_live_ones():
    streams = fake_streams(fake_model())
    stream, inputs = streams.open("fake"), distinct(1, 1)
    drain = asyncio.create_task(streams.drain(60))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        streams.open("fake")
    assert (await streams.push(stream, chunk(1, inputs))).tobytes() == alone(inputs).tobytes()
    assert not drain.done()
    streams.close(stream)
    await drain


async def test_a_drain_out_of_time_settles_what_waits():
    streams = fake_streams(fake_model())
    stream = streams.open("fake")
    await streams.drain(0)
    with pytest.raises(Unavailable):
        await streams.push(stream, chunk(1, distinct(1, 1)))


def ended(streams, reason):
    return streams._metrics.registry.get_sample_value(
        "statewise_evictions_total", {"reason": reason}
    )


@pytest.mark.parametrize("unloads", [False, True])
async def test_a_step_that_a_stop_or_an_unload_settles_is_no_failure_of_the_model(unloads):
    model = fake_model()
    streams = fake_streams(model)
    waiting = [streams.open("fake") for _ in range(3)]
    pushes = [asyncio.ensure_future(streams.push(one, chunk(1, distinct(9, 2)))) for one in waiting]
    await asyncio.sleep(0)
    if unloads:
        streams._models.remove(model)
    await (streams.evict(model, 0) if unloads else streams.drain(0))
    for push in pushes:
        with pytest.raises(Unavailable):
            await push
    assert ended(streams, "unloaded" if unloads else "drained") == 3
    assert ended(streams, "failed") == 0


async def test_a_failure_of_the_model_is_counted():
    def crash(rows):
        raise RuntimeError("told to")

    streams = fake_streams(fake_model(FakeEngine(before_step=crash)))
    with pytest.raises(ModelFault):
        await streams.push(streams.open("fake"), chunk(1, distinct(1, 3)))
    assert ended(streams, "failed") == 1


async def test_a_drain_waits_for_what_was_opened_since_all_had_closed():
    streams = fake_streams(fake_model())
    streams.close(streams.open("fake"))
    stream = streams.open("fake")
    drain = asyncio.create_task(streams.drain(60))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not drain.done()
    streams.close(stream)
    await drain
    assert ended(streams, "drained") == 0
