"""Requests to models without state: their rows go a call at a time, beside everybody else's."""

import numpy as np
import pytest
from calling import Calls, arrays, load
from fakes import distinct
from foreign import doubling

from service.errors import ModelFault

ROWS = 1_000


@pytest.fixture
async def calls(tmp_path):
    return Calls(load(doubling(tmp_path / "double")))


def watched(batcher, monkeypatch, act=lambda count: None):
    """How many rows are put at a time, in their order; `act` is told how often before each."""
    sizes, put = [], batcher.put

    def watch(batch):
        act(len(sizes))
        sizes.append(len(batch))
        put(batch)

    monkeypatch.setattr(batcher, "put", watch)
    return sizes


@pytest.mark.parametrize("rows", [1, 255, 256, 257, ROWS])
async def test_rows_are_put_a_call_at_a_time_and_answered_in_their_order(calls, monkeypatch, rows):
    batcher = next(iter(calls.models)).batcher
    sizes, inputs = watched(batcher, monkeypatch), distinct(rows, rows)
    answer = arrays(await calls.infer(x=inputs))
    assert answer["y"].tobytes() == (inputs * np.float32(2)).tobytes()
    assert sum(sizes) == rows
    assert max(sizes) <= batcher.max_batch
    assert len(sizes) == -(-rows // batcher.max_batch)


async def test_a_short_request_does_not_wait_for_the_long_one_before_it(calls):
    inputs, order = distinct(ROWS, 1), []
    long, short = calls.infer(x=inputs), calls.infer(x=inputs[:1])
    for name, one in (("long", long), ("short", short)):
        one.add_done_callback(lambda _, name=name: order.append(name))
    assert arrays(await long)["y"].tobytes() == (inputs * np.float32(2)).tobytes()
    assert arrays(await short)["y"].tobytes() == (inputs[:1] * np.float32(2)).tobytes()
    assert order == ["short", "long"]


async def test_of_a_request_that_fails_on_its_way_the_rest_is_not_taken(calls, monkeypatch):
    batcher = next(iter(calls.models)).batcher

    def breaks(count):
        if count == 2:
            monkeypatch.setattr(batcher, "_compute", lambda tick: 1 / 0)

    sizes = watched(batcher, monkeypatch, breaks)
    assert isinstance(await calls.infer(x=distinct(ROWS, 2)), ModelFault)
    assert sizes == [256, 256, 256]


async def test_an_unforeseen_failure_on_its_way_is_told(calls, monkeypatch):
    batcher = next(iter(calls.models)).batcher
    watched(batcher, monkeypatch, lambda count: count and 1 / 0)
    assert (await calls.infer(x=distinct(ROWS, 3))).reason == "INTERNAL"
