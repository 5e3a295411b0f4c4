"""Answers of one stream on their way out: their order, who waits for whom, and what is full."""

import asyncio

import pytest

from protos.inference import service_pb2 as wire
from service.rpc.outbox import MOST_BYTES, MOST_PENDING, Outbox


def answer(number):
    return wire.ModelStreamInferResponse(error_message=f"{number}")


def request(number):
    return wire.ModelInferRequest(id=f"{number}")


def read(outbox, *sizes):
    """Requests of so many bytes that were read."""
    for size in sizes:
        outbox.pending += 1
        outbox.bytes += size


async def waiting(awaitable):
    """What waits, once it does."""
    task = asyncio.ensure_future(awaitable)
    await rounds()
    assert not task.done()
    return task


async def rounds():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_answers_are_taken_in_their_order_and_once():
    outbox = Outbox()
    read(outbox, 1, 1, 1)
    for number in (1, 2):
        outbox.put(answer(number), 1)
    assert await outbox.take() == [answer(1), answer(2)]
    outbox.put(answer(3), 1)
    assert await outbox.take() == [answer(3)]


async def test_a_writer_waits_for_an_answer():
    outbox = Outbox()
    read(outbox, 1)
    taking = await waiting(outbox.take())
    outbox.put(answer(1), 1)
    assert await taking == [answer(1)]


async def test_a_writer_is_told_when_nothing_comes_any_more():
    outbox = Outbox()
    taking = await waiting(outbox.take())
    outbox.close()
    assert await taking == []
    assert outbox.finished


async def test_it_is_finished_when_all_that_was_read_is_answered_and_taken():
    outbox = Outbox()
    read(outbox, 1, 1)
    outbox.put(answer(1), 1)
    await outbox.take()
    assert not outbox.finished
    taking = await waiting(outbox.take())
    outbox.close()
    await rounds()
    # Nothing has to be written yet, and it is not the end.
    assert not taking.done()
    assert not outbox.finished
    outbox.put(answer(2), 1)
    assert not outbox.finished
    assert await taking == [answer(2)]
    assert outbox.finished


async def test_while_something_may_come_it_is_not_finished():
    outbox = Outbox()
    read(outbox, 1)
    outbox.put(answer(1), 1)
    await outbox.take()
    assert not outbox.finished


async def test_so_many_requests_may_be_under_way():
    outbox = Outbox()
    read(outbox, *[1] * (MOST_PENDING - 1))
    assert not outbox.full
    read(outbox, 1)
    assert outbox.full
    reading = await waiting(outbox.room())
    outbox.put(answer(1), 1)
    await reading
    assert not outbox.full


async def test_requests_that_are_large_are_room_again_when_their_answers_are_written():
    outbox = Outbox()
    half = MOST_BYTES // 2
    read(outbox, half, MOST_BYTES - half)
    assert outbox.full
    reading = await waiting(outbox.room())
    outbox.put(answer(1), half)
    await outbox.take()
    # Answered, but who knows whether the caller reads it.
    await rounds()
    assert not reading.done()
    # Its answer is not among those that are being written.
    outbox.put(answer(2), MOST_BYTES - half)
    await rounds()
    await outbox.release()
    await asyncio.wait_for(reading, 10)
    assert outbox.bytes == MOST_BYTES - half
    await outbox.take()
    await outbox.release()
    assert outbox.bytes == 0


async def test_bytes_of_answers_that_go_together_are_freed_together():
    outbox = Outbox()
    read(outbox, 3, 5, 7)
    for number, size in enumerate((3, 5), start=1):
        outbox.put(answer(number), size)
    await outbox.take()
    await outbox.release()
    assert outbox.bytes == 7


async def test_what_is_read_while_answers_are_written_begins_together_behind_them():
    outbox = Outbox()
    read(outbox, 1)
    outbox.put(answer(1), 1)
    assert not outbox.writing
    await outbox.take()
    assert outbox.writing
    outbox.held.append(request(1))
    releasing = asyncio.ensure_future(outbox.release())
    await asyncio.sleep(0)
    # In the round behind the write another came.
    outbox.held.append(request(2))
    assert await releasing == [request(1), request(2)]
    assert not outbox.writing
    assert await outbox.release() == []


async def test_not_more_than_a_batch_begins_together():
    outbox = Outbox()
    outbox.held.append(request(0))
    releasing = asyncio.ensure_future(outbox.release())
    for number in range(1, 400):
        await asyncio.sleep(0)
        if releasing.done():
            break
        outbox.held.append(request(number))
    assert len(await releasing) == 256


@pytest.mark.parametrize("writer", [True, False])
async def test_who_has_stopped_waiting_is_not_woken(writer):
    outbox = Outbox()
    read(outbox, *[1] * MOST_PENDING)
    task = await waiting(outbox.take() if writer else outbox.room())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    outbox.put(answer(1), 1)
    assert await outbox.take() == [answer(1)]
