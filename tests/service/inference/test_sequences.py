"""Sequences by id: what START and END mean, their order, their end, and what is refused."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from calling import Calls, arrays, load, row
from foreign import ACCUMULATOR_CONFIG, accumulator
from onnx import TensorProto

from service.callers.access import Identity
from service.callers.quotas import Limits, Quotas
from service.errors import ServiceError
from service.inference import sequences


@pytest.mark.parametrize(
    ("request_options", "reason"),
    [
        ({"sequence": 5}, "SEQUENCE_NOT_STARTED"),
        ({"sequence": 5, "end": True}, "SEQUENCE_NOT_STARTED"),
        ({"sequence": 0, "start": True}, "SEQUENCE_ID_MISSING"),
        ({"sequence": "", "start": True}, "SEQUENCE_ID_MISSING"),
        ({}, "SEQUENCE_ID_MISSING"),
        ({"sequence": "x" * 200, "start": True}, "SEQUENCE_ID_LENGTH"),
        ({"sequence": 5, "start": True, "x": np.zeros((2, 3), np.float32)}, "BATCH_SIZE"),
        ({"sequence": 5, "start": True, "x": np.zeros((1, 4), np.float32)}, "SHAPE"),
        ({"sequence": 5, "start": True, "x": np.zeros((1, 3), np.float64)}, "DTYPE"),
        ({"sequence": 5, "start": True, "x": row(1, np.nan, 0)}, "NON_FINITE_INPUT"),
        ({"sequence": 5, "start": True, "sum": row(1, 2, 3)}, "INPUT_UNKNOWN"),
        ({"sequence": 5, "start": True, "outputs": ("nothing",)}, "OUTPUT_UNKNOWN"),
        ({"sequence": 5, "start": True, "version": "9"}, "VERSION_NOT_FOUND"),
    ],
)
async def test_a_bad_request_is_refused_and_opens_nothing(tmp_path, request_options, reason):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    error = await calls.infer(**({"x": row(1, 2, 3)} | request_options))
    assert isinstance(error, ServiceError), error
    assert error.reason == reason
    assert calls.streams.live == 0
    assert not calls.sequences._live


async def test_a_refused_request_leaves_its_sequence_as_it_was(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    await calls.infer(5, start=True, x=row(1, 1, 1))
    assert (await calls.infer(5, x=row(np.inf, 1, 1))).reason == "NON_FINITE_INPUT"
    assert (await calls.infer(5, start=True, x=row(np.inf, 1, 1))).reason == "NON_FINITE_INPUT"
    assert arrays(await calls.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 4, 5]]


async def test_start_on_a_live_id_begins_anew_and_is_counted(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    await calls.infer(5, start=True, x=row(9, 9, 9))
    again = arrays(await calls.infer(5, start=True, x=row(1, 1, 1)))
    assert again["y"].tolist() == [[3, 4, 5]]
    assert again["told"].tolist() == [[1, 0, 1, 5]]
    assert calls.streams.live == 1
    count = calls.metrics.registry.get_sample_value("statewise_sequences_restarted_total")
    assert count == 1


async def test_two_requests_of_one_sequence_in_flight_keep_their_order(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    waiting = [
        calls.infer("a", start=True, x=row(1, 0, 0)),
        calls.infer("a", x=row(2, 0, 0)),
        calls.infer("a", end=True, x=row(3, 0, 0)),
        calls.infer("a", x=row(3, 0, 0)),
        calls.infer("a", start=True, x=row(5, 0, 0)),
    ]
    *found, _, last = [await one for one in waiting]
    assert [arrays(one)["y"][0, 0] for one in found] == [3, 7, 13]
    assert waiting[3].result().reason == "SEQUENCE_NOT_STARTED"
    assert arrays(last)["y"][0, 0] == 11
    # It goes on, though what came before it was refused.
    assert arrays(await calls.infer("a", end=True, x=row(0, 0, 0)))["y"][0, 0] == 11
    assert calls.streams.live == 0


async def test_an_idle_sequence_ends_and_its_id_is_told_so(tmp_path):
    config = ACCUMULATOR_CONFIG.replace(
        "sequence_batching {", "sequence_batching { max_sequence_idle_microseconds: 1000", 1
    )
    calls = Calls(load(accumulator(tmp_path / "acc", config)))
    sweep = asyncio.create_task(calls.sequences.sweep())
    await calls.infer(5, start=True, x=row(1, 1, 1))
    async with asyncio.timeout(30):
        while calls.streams.live:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.02)
    assert (await calls.infer(5, x=row(1, 1, 1))).reason == "SEQUENCE_EXPIRED"
    assert arrays(await calls.infer(5, start=True, x=row(1, 1, 1)))["y"].tolist() == [[3, 4, 5]]
    sweep.cancel()


async def test_a_sequence_stays_with_its_version(tmp_path):
    first = load(accumulator(tmp_path / "acc"))
    calls = Calls(first)
    await calls.infer(5, start=True, x=row(1, 1, 1))
    newer = replace(load(accumulator(tmp_path / "acc")), version=2)
    calls.models.add(newer)
    assert (await calls.infer(5, x=row(1, 1, 1))).model.version == 1
    assert (await calls.infer(5, version="2", x=row(1, 1, 1))).reason == "VERSION_CHANGED"
    assert (await calls.infer(6, start=True, x=row(1, 1, 1))).model.version == 2


async def test_a_thousand_waiting_requests_are_all_told_that_the_server_stops(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    await calls.infer("a", start=True, x=row(1, 0, 0))
    waiting = [calls.infer("a", start=True, x=row(2, 0, 0)) for _ in range(1_000)]
    calls.models.find("acc").batcher.close()
    async with asyncio.timeout(30):
        reasons = {(await one).reason for one in waiting}
    assert reasons == {"SERVER_STOPPING"}


async def test_requests_under_way_have_a_bound(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")), max_requests=2)
    first = [calls.infer(sequence, start=True, x=row(1, 1, 1)) for sequence in (5, 5, 6)]
    assert not first[0].done()
    assert first[2].result().reason == "REQUESTS_EXHAUSTED"
    assert first[2].result().retry_after
    for answer in first[:2]:
        assert arrays(await answer)
    # A request that is refused gives its place back as well.
    for _ in range(5):
        assert (await calls.infer(9, x=row(1, 1, 1))).reason == "SEQUENCE_NOT_STARTED"
    assert arrays(await calls.infer(6, start=True, x=row(1, 1, 1)))


def identity(name, quotas):
    return Identity(name, frozenset({"stream"}), quotas.of(name))


async def test_a_name_belongs_to_its_caller(tmp_path):
    calls, quotas = Calls(load(accumulator(tmp_path / "acc"))), Quotas(Limits(9))
    one, other = identity("one", quotas), identity("other", quotas)
    await calls.infer(5, start=True, x=row(1, 1, 1), caller=one)
    refused = await calls.infer(5, x=row(2, 2, 2), caller=other)
    assert refused.reason == "SEQUENCE_NOT_STARTED"
    await calls.infer(5, start=True, x=row(7, 7, 7), caller=other)
    assert arrays(await calls.infer(5, x=row(0, 0, 0), caller=one))["y"].tolist() == [[3, 4, 5]]
    await calls.infer(5, x=row(0, 0, 0), end=True, caller=other)
    assert arrays(await calls.infer(5, x=row(0, 0, 0), caller=one))["y"].tolist() == [[3, 4, 5]]


async def test_a_caller_has_its_streams_back_however_they_end(tmp_path):
    calls, quotas = Calls(load(accumulator(tmp_path / "acc"))), Quotas(Limits(2))
    one = identity("one", quotas)
    for sequence in (5, 6):
        await calls.infer(sequence, start=True, x=row(1, 1, 1), caller=one)
    refused = await calls.infer(7, start=True, x=row(1, 1, 1), caller=one)
    assert refused.reason == "CALLER_STREAMS"
    # Begun anew, ended, refused by the model's limit, and unloaded.
    await calls.infer(5, start=True, x=row(1, 1, 1), caller=one)
    assert one.quota.streams == 2
    await calls.infer(5, end=True, x=row(1, 1, 1), caller=one)
    await calls.infer(5, start=True, version="9", x=row(1, 1, 1), caller=one)
    assert one.quota.streams == 1
    await calls.streams.evict(next(iter(calls.models)), 0)
    assert (await calls.infer(6, x=row(1, 1, 1), caller=one)).reason == "MODEL_UNLOADED"
    assert one.quota.streams == 0


async def test_over_its_rate_a_start_leaves_the_sequence_as_it_was(tmp_path):
    clock, calls = [0.0], Calls(load(accumulator(tmp_path / "acc")))
    quotas = Quotas(Limits(9, 1.0), lambda: clock[0])
    one = identity("one", quotas)
    await calls.infer(5, start=True, x=row(1, 1, 1), caller=one)
    for start in (True, False):
        refused = await calls.infer(5, start=start, x=row(1, 1, 1), caller=one)
        assert refused.reason == "CALLER_RATE"
    clock[0] += 1
    assert arrays(await calls.infer(5, x=row(0, 0, 0), caller=one))["y"].tolist() == [[3, 4, 5]]


KINDS = {"int8": -128, "int32": -(2**31), "int64": -(2**63), "uint32": 0, "uint64": 0}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_number_that_the_model_cannot_be_told_is_refused(tmp_path, kind):
    path = accumulator(tmp_path / "acc", corrid=TensorProto.DataType.Value(kind.upper()))
    calls = Calls(load(path), max_requests=1)
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    for number in (least - 1, most + 1, 2**64, -(2**64)):
        assert (await calls.infer(number, start=True, x=row(1, 1, 1))).reason == "SEQUENCE_ID_RANGE"
    assert calls.streams.live == 0
    assert not calls.sequences._live
    for number in {least or 1, most}:
        answer = arrays(await calls.infer(number, start=True, x=row(1, 1, 1)))
        assert answer["told"][0, 3] == np.float32(number)


async def test_sequences_with_texts_are_told_to_the_model_by_numbers_that_begin_again(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc", corrid=TensorProto.INT8)))
    calls.streams._opens = 126
    for number in (127, 0, 1):
        answer = arrays(await calls.infer(f"text {number}", start=True, x=row(1, 1, 1)))
        assert answer["told"][0, 3] == number


@pytest.mark.parametrize("broken", ["decode", "packed", "encode"])
async def test_an_unforeseen_failure_is_that_request_s_alone(tmp_path, monkeypatch, caplog, broken):
    def fails(*_, **__):
        raise MemoryError("a secret")

    calls = Calls(load(accumulator(tmp_path / "acc")), max_requests=2)
    await calls.infer(5, start=True, x=row(1, 1, 1))
    for _ in range(4):
        with monkeypatch.context() as patched:
            patched.setattr(sequences, broken, fails)
            failed = await calls.infer(6, start=True, x=row(9, 9, 9))
        assert failed.reason == "INTERNAL"
        assert "secret" not in failed.message
        assert "a secret" in caplog.text
    answers = calls.infer(5, x=row(0, 0, 0)), calls.infer(6, start=True, x=row(1, 1, 1))
    assert [arrays(await one)["y"].tolist() for one in answers] == [[[3, 4, 5]]] * 2


async def test_a_sequence_is_idle_from_its_last_request_on(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")), sequence_idle_seconds=60)
    clock = calls.clock()
    await calls.infer(5, start=True, x=row(1, 1, 1))
    for _ in range(2):
        clock[0] += 59
        calls.sequences.expire()
        assert arrays(await calls.infer(5, x=row(0, 0, 0)))["y"].tolist() == [[3, 4, 5]]
    clock[0] += 61
    calls.sequences.expire()
    assert (await calls.infer(5, x=row(0, 0, 0))).reason == "SEQUENCE_EXPIRED"
