"""Sequences that begin anew where every stream is in use: their own slot is theirs to have."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from calling import Calls, arrays, load, row
from foreign import accumulator

FIRST = [[3.0, 4.0, 5.0]]


@pytest.fixture
async def full(tmp_path):
    """A model of two streams, both in use."""
    calls = Calls(load(accumulator(tmp_path / "acc"), max_streams=2))
    for sequence in (1, 2):
        await calls.infer(sequence, start=True, x=row(9, 9, 9))
    return calls


@pytest.mark.parametrize("end", [False, True])
async def test_a_start_right_behind_a_step_or_an_end_finds_its_slot(full, end):
    step = full.infer(1, end=end, x=row(1, 1, 1))
    anew = full.infer(1, start=True, x=row(1, 1, 1))
    assert arrays(await step)["y"].tolist() == [[21, 22, 23]]
    assert arrays(await anew)["y"].tolist() == FIRST
    assert arrays(await full.infer(1, x=row(0, 0, 0)))["y"].tolist() == FIRST
    assert (await full.infer(3, start=True, x=row(1, 1, 1))).reason == "STREAMS_EXHAUSTED"


async def test_a_start_while_others_are_computed_finds_its_slot(full):
    held, computing = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    batcher = full.models.find("acc").batcher
    compute = batcher._compute

    def slow(tick):
        loop.call_soon_threadsafe(computing.set)
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(30)
        compute(tick)

    with ThreadPoolExecutor(1) as executor:
        batcher._executor, batcher._compute = executor, slow
        other = full.infer(2, x=row(0, 0, 0))
        await computing.wait()
        anew = full.infer(1, start=True, x=row(1, 1, 1))
        held.set()
        assert arrays(await other)["y"].tolist() == [[19, 20, 21]]
        assert arrays(await anew)["y"].tolist() == FIRST


@pytest.mark.parametrize("why", ["draining", "version"])
async def test_a_start_that_is_refused_leaves_its_sequence_as_it_was(full, tmp_path, why):
    if why == "version":
        # The newer has no stream free.
        newer = replace(load(accumulator(tmp_path / "acc"), max_streams=1), version=2)
        full.models.add(newer)
        await full.infer(3, start=True, x=row(1, 1, 1))
    else:
        full.streams.refuse()
    refused = await full.infer(1, start=True, x=row(1, 1, 1))
    assert refused.reason == {"draining": "SERVER_STOPPING", "version": "STREAMS_EXHAUSTED"}[why]
    assert arrays(await full.infer(1, x=row(0, 0, 0)))["y"].tolist() == [[19, 20, 21]]
