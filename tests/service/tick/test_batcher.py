import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import fakes
import numpy as np
import pytest
from fakes import FEATURES, FakeEngine, alone, distinct, fake_batcher
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ModelFault, Unavailable
from service.tick.ready import Ready


def submit(batcher, slot, inputs):
    """One chunk, begun when the loop comes to it."""
    return asyncio.ensure_future(fakes.submit(batcher, slot, inputs))


async def test_whatever_is_ready_goes_in_one_call():
    engine = FakeEngine()
    batcher, arena = fake_batcher(engine)
    inputs = [distinct(1, seed) for seed in range(5)]
    outputs = await asyncio.gather(*(submit(batcher, arena.acquire(), x) for x in inputs))
    assert engine.calls == [5]
    for x, y in zip(inputs, outputs, strict=True):
        assert y.tobytes() == alone(x).tobytes()


async def test_a_long_chunk_holds_nobody_up():
    engine = FakeEngine()
    batcher, arena = fake_batcher(engine)
    long = submit(batcher, arena.acquire(), distinct(50, 1))
    await asyncio.sleep(0)
    short = asyncio.get_running_loop().create_future()
    then = lambda _: short.set_result(len(engine.calls))  # noqa: E731 - said in a line
    batcher.begin(arena.acquire(), distinct(1, 2).data, 1, then)
    assert await short <= 2
    assert not long.done()
    assert (await long).tobytes() == alone(distinct(50, 1)).tobytes()


async def test_more_than_a_batch_is_split_so_that_everybody_advances():
    engine = FakeEngine(max_batch=3)
    batcher, arena = fake_batcher(engine)
    inputs = [distinct(4, seed) for seed in range(7)]
    futures = [submit(batcher, arena.acquire(), x) for x in inputs]
    outputs = await asyncio.gather(*futures)
    # 28 steps; no call is wider than 3, and none is narrower while 3 are ready.
    assert engine.calls == [3] * 9 + [1]
    for x, y in zip(inputs, outputs, strict=True):
        assert y.tobytes() == alone(x).tobytes()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=10),
    cuts=st.integers(1, 4),
    max_batch=st.integers(1, 6),
    threaded=st.booleans(),
)
def test_outputs_depend_on_neither_company_nor_chunking(lengths, cuts, max_batch, threaded):
    async def scenario(executor):
        batcher, arena = fake_batcher(FakeEngine(max_batch), executor=executor)

        async def stream(number, steps):
            slot, inputs = arena.acquire(), distinct(steps, number)
            parts = [
                await submit(batcher, slot, inputs[start : start + cuts])
                for start in range(0, steps, cuts)
            ]
            assert np.concatenate(parts).tobytes() == alone(inputs).tobytes()

        await asyncio.gather(*(stream(*item) for item in enumerate(lengths)))

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor if threaded else None))


async def test_one_failing_call_fails_its_batch_and_the_rhythm_goes_on():
    def fail_once(rows):
        engine.before_step = lambda rows: None
        raise ModelFault("broken", reason="MODEL_FAILED")

    engine = FakeEngine()
    engine.before_step = fail_once
    batcher, arena = fake_batcher(engine)
    first = [submit(batcher, arena.acquire(), distinct(1, seed)) for seed in range(3)]
    results = await asyncio.gather(*first, return_exceptions=True)
    assert [type(result) for result in results] == [ModelFault] * 3
    assert (batcher.statistics.failed, batcher.statistics.steps.count) == (3, 0)
    inputs = distinct(2, 9)
    assert (await submit(batcher, arena.acquire(), inputs)).tobytes() == alone(inputs).tobytes()


async def test_an_unexpected_exception_settles_every_chunk_without_its_inner_details():
    def crash(rows):
        raise RuntimeError("secret path")

    engine = FakeEngine()
    engine.before_step = crash
    batcher, arena = fake_batcher(engine)
    with pytest.raises(ModelFault) as fault:
        await submit(batcher, arena.acquire(), distinct(1, 1))
    assert "secret" not in str(fault.value)


async def test_an_answer_that_is_no_number_ends_its_stream_alone():
    batcher, arena = fake_batcher(FakeEngine())
    healthy, huge = distinct(3, 1), np.full((2, FEATURES), 3e38, np.float32)
    results = await asyncio.gather(
        submit(batcher, arena.acquire(), healthy),
        submit(batcher, arena.acquire(), huge),
        return_exceptions=True,
    )
    assert results[0].tobytes() == alone(healthy).tobytes()
    assert isinstance(results[1], ModelFault)
    assert results[1].reason == "MODEL_NOT_FINITE"
    assert batcher.statistics.failed == batcher._metrics.failed._value.get() == 1


async def test_large_numbers_are_numbers():
    batcher, arena = fake_batcher(FakeEngine())
    large = np.full((2, FEATURES), 1e30, np.float32)
    with np.errstate(over="raise"):
        answer = await submit(batcher, arena.acquire(), large)
    assert answer.tobytes() == alone(large).tobytes()


async def test_a_dropped_chunk_takes_no_step_and_leaves_its_place_to_others():
    engine = FakeEngine(max_batch=2)
    batcher, arena = fake_batcher(engine)
    slots = [arena.acquire() for _ in range(3)]
    told = []
    dropped = [batcher.begin(slot, distinct(3, 1).data, 3, told.append) for slot in slots[:2]]
    others = [submit(batcher, arena.acquire(), distinct(1, seed)) for seed in (2, 3)]
    batcher.begin(slots[2], distinct(1, 1).data, 1, told.append)
    for ready in dropped:
        batcher.drop(ready)
    await asyncio.gather(*others)
    assert engine.calls == [1, 2]
    assert [ready.slot for ready in told] == [slots[2].row]
    assert not arena.rows[[slot.row for slot in slots[:2]]].any()


async def test_a_cancelled_wait_takes_the_rest_of_its_chunk_back():
    engine = FakeEngine()
    batcher, arena = fake_batcher(engine)
    chunk = submit(batcher, arena.acquire(), distinct(50, 1))
    await asyncio.sleep(0)
    chunk.cancel()
    other = distinct(20, 2)
    assert (await submit(batcher, arena.acquire(), other)).tobytes() == alone(other).tobytes()
    assert chunk.cancelled()
    # At most the step that was under way, beside none, one or two of the other's.
    assert sum(engine.calls) <= 21


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_chunk_stays_in_memory_until_its_end_and_no_longer(dropped):
    batcher, arena = fake_batcher(FakeEngine())
    inputs = distinct(50, 1)
    memory, chunk = weakref.ref(inputs), submit(batcher, arena.acquire(), inputs)
    del inputs
    gc.disable()
    try:
        await asyncio.sleep(0)
        assert memory() is not None
        if dropped:
            chunk.cancel()
        await asyncio.wait([chunk])
        del chunk
        # The step that was under way ends.
        await submit(batcher, arena.acquire(), distinct(2, 2))
        assert memory() is None
    finally:
        gc.enable()


async def test_rows_of_another_length_are_no_steps():
    batcher, arena = fake_batcher(FakeEngine())
    with pytest.raises(AssertionError):
        batcher.begin(arena.acquire(), distinct(2, 1).data, 1, print)
    told = []
    batcher.put([Ready(arena.acquire().row, b"short", told.append)])
    whole = Ready(arena.acquire().row, distinct(1, 1).data, told.append)
    batcher.put([whole])
    # The tick comes at the end of the loop's round.
    await asyncio.sleep(0)
    # Nobody can say whose bytes are whose: both fail, and the rhythm goes on.
    assert [ready.error.reason for ready in told] == ["TICK_FAILED"] * 2
    inputs = distinct(2, 9)
    assert (await submit(batcher, arena.acquire(), inputs)).tobytes() == alone(inputs).tobytes()


async def test_closing_settles_everything_that_waits():
    batcher, arena = fake_batcher(FakeEngine())
    waiting = [submit(batcher, arena.acquire(), distinct(2, seed)) for seed in range(3)]
    await asyncio.sleep(0)
    batcher.close()
    waiting.append(submit(batcher, arena.acquire(), distinct(1, 4)))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 4


async def test_a_slot_retired_during_a_call_is_free_only_after_it():
    entered, leave = threading.Event(), threading.Event()

    def hold(rows):
        entered.set()
        assert leave.wait(30)

    engine = FakeEngine()
    engine.before_step = hold
    with ThreadPoolExecutor(1) as executor:
        batcher, arena = fake_batcher(engine, capacity=2, executor=executor)
        doomed, other = arena.acquire(), arena.acquire()
        future = submit(batcher, doomed, distinct(1, 1))
        await asyncio.to_thread(entered.wait, 30)
        future.cancel()
        batcher.retire(doomed)
        assert arena.slots.taken == 2
        leave.set()
        await submit(batcher, other, distinct(1, 2))
        assert arena.slots.taken == 1
        # The next stream in that row starts from nothing, though the call wrote to it.
        assert not arena.rows[arena.acquire().row].any()
