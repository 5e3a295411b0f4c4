"""Models with a time axis that take whole chunks: one call a chunk, with others of its length."""

import asyncio

import numpy as np
import onnxruntime
import pytest
from calling import Calls, arrays, load
from foreign import F32, START, chunk_config, prefix_sum, running_sum, save
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from service.errors import ArtifactError, InvalidArgument, ServiceError
from service.models.description import describe
from service.streams.chunks import Chunk


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return prefix_sum(tmp_path_factory.mktemp("models") / "prefix", chunk_config(START))


def steps(length, seed):
    """A chunk of its own, (1, length, 2), of which no running sum is 0."""
    return np.random.default_rng(seed).uniform(0.1, 1, (1, length, 2)).astype(np.float32)


def alone(path, chunks):
    """What the model itself answers to one stream, chunk after chunk."""
    session = onnxruntime.InferenceSession(path)
    state, found = np.zeros((1, 2), np.float32), []
    for number, x in enumerate(chunks):
        start = np.array([[number == 0]], np.float32)
        y, told, state = session.run(None, {"x": x, "start": start, "state": state})
        found.append((y, told))
    return found


def assert_same(answer, expected):
    found = arrays(answer)
    assert [found["y"].shape, found["told"].shape] == [one.shape for one in expected]
    assert [found["y"].tobytes(), found["told"].tobytes()] == [one.tobytes() for one in expected]


async def test_a_chunk_is_one_call_and_its_state_goes_on_to_the_next(path):
    model = load(path)
    calls = Calls(model)
    chunks = [steps(length, length) for length in (4, 1, 100, 3)]
    for number, (x, expected) in enumerate(zip(chunks, alone(path, chunks), strict=True)):
        assert_same(await calls.infer(7, start=number == 0, end=number == 3, x=x), expected)
        assert model.batcher.statistics.calls == number + 1
    assert calls.streams.live == 0


async def test_chunks_of_one_length_share_a_call_and_others_have_their_own(path):
    model = load(path)
    calls = Calls(model)
    lengths = [3, 5, 3, 3, 5, 2]
    inputs = [[steps(length, (n, turn)) for turn in range(3)] for n, length in enumerate(lengths)]
    expected = [alone(path, chunks) for chunks in inputs]
    for turn in range(3):
        answers = await asyncio.gather(
            *(calls.infer(n + 1, start=not turn, x=one[turn]) for n, one in enumerate(inputs))
        )
        for answer, one in zip(answers, expected, strict=True):
            assert_same(answer, one[turn])
    by_rows = model.batcher.statistics.by_rows
    assert {rows: part.count for rows, part in by_rows.items()} == {3: 3, 2: 3, 1: 3}


@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=12)
)
def test_answers_do_not_depend_on_company(path, lengths):
    async def stream(calls, number, chunks):
        for turn, expected in enumerate(alone(path, chunks)):
            assert_same(await calls.infer(number, start=not turn, x=chunks[turn]), expected)

    async def scenario():
        calls = Calls(load(path))
        streams = [
            stream(calls, n + 1, [steps(size, (n, turn)) for turn, size in enumerate(one)])
            for n, one in enumerate(lengths)
        ]
        await asyncio.gather(*streams)

    asyncio.run(scenario())


async def test_long_chunks_share_calls_of_a_bounded_size(path, monkeypatch):
    # Two of these chunks with their answers, and not three.
    monkeypatch.setattr("service.runtime.engine._CALL_BYTES", 300_000)
    model = load(path)
    calls = Calls(model)
    x = steps(8_000, 1)
    expected = alone(path, [x])[0]
    answers = await asyncio.gather(*(calls.infer(n, start=True, x=x) for n in range(1, 13)))
    for answer in answers:
        assert_same(answer, expected)
    assert list(model.batcher.statistics.by_rows) == [2]


async def test_a_chunk_with_an_infinite_answer_ends_its_sequence_alone(path):
    calls = Calls(load(path))
    bad = steps(3, 1)
    bad[0, 1] = -bad[0, 0]
    good, fault = await asyncio.gather(
        calls.infer(1, start=True, x=steps(3, 2)), calls.infer(2, start=True, x=bad)
    )
    assert isinstance(fault, ServiceError)
    assert fault.reason == "MODEL_NOT_FINITE"
    assert_same(good, alone(path, [steps(3, 2)])[0])
    assert calls.streams.live == 1


@pytest.mark.parametrize("shape", [(1, 0, 2), (1, 2), (1, 3, 3), (1, 8_193, 2), (2, 3, 2)])
async def test_a_chunk_of_another_shape_is_refused(path, shape):
    calls = Calls(load(path))
    error = await calls.infer(1, start=True, x=np.zeros(shape, np.float32))
    assert isinstance(error, InvalidArgument)
    assert error.reason == ("BATCH_SIZE" if shape[0] == 2 else "SHAPE")
    assert calls.streams.live == 0


async def test_a_graph_of_fixed_length_takes_chunks_of_that_length(tmp_path):
    path = prefix_sum(tmp_path / "fixed", chunk_config(START), time=4)
    model = load(path)
    calls = Calls(model)
    chunks = [steps(4, 1), steps(4, 2)]
    for turn, expected in enumerate(alone(path, chunks)):
        assert_same(await calls.infer(1, start=not turn, x=chunks[turn]), expected)
    refused = await calls.infer(1, x=steps(3, 3))
    assert "takes [1, 4, 2]" in refused.message


async def test_streams_that_change_each_other_at_length_are_served_one_a_call(tmp_path, caplog):
    # Of many steps ReduceSum adds the rows of a batch in another order than one row.
    path = running_sum(tmp_path / "sum", chunk_config())
    model = load(path)
    assert "change each other's bits" in caplog.text
    calls = Calls(model)
    inputs = [steps(40, seed) for seed in range(5)]
    answers = await asyncio.gather(
        *(calls.infer(n + 1, start=True, x=x) for n, x in enumerate(inputs))
    )
    session = onnxruntime.InferenceSession(path)
    for x, answer in zip(inputs, answers, strict=True):
        y, _ = session.run(None, {"x": x, "state": np.zeros((1, 2), np.float32)})
        assert arrays(answer)["y"].tobytes() == y.tobytes()
    assert list(model.batcher.statistics.by_rows) == [1]


async def test_the_native_seam_takes_whole_chunks_too(tmp_path):
    path = running_sum(tmp_path / "sum", chunk_config())
    model = load(path)
    calls = Calls(model)
    stream = calls.streams.open("sum")
    whole = steps(9, 1)
    session, state = onnxruntime.InferenceSession(path), np.zeros((1, 2), np.float32)
    for number, x in enumerate((whole[:, :6], whole[:, 6:]), start=1):
        chunk = Chunk(number, "float32", x.shape[1], 2, x.tobytes())
        y, state = session.run(None, {"x": x, "state": state})
        outputs = await calls.streams.push(stream, chunk)
        # A row a step, as of a model that takes steps.
        assert (outputs.shape, outputs.tobytes()) == (y[0].shape, y.tobytes())
    assert (stream.steps, model.batcher.statistics.calls) == (9, 2)


async def test_rows_without_state_share_a_call_as_chunks(tmp_path):
    path = save(
        tmp_path / "twice",
        [("x", F32, ["batch", "time", 2])],
        [("y", F32, ["batch", "time", 2])],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        config='max_batch_size: 8 parameters { key: "time_axis" value { string_value: "chunk" } }',
    )
    model = load(path)
    x = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    assert arrays(await Calls(model).infer(x=x))["y"].tolist() == (2 * x).tolist()
    assert list(model.batcher.statistics.by_rows) == [3]


def test_only_what_goes_with_time_has_a_free_axis(path):
    config = describe(load(path))
    assert [list(one.dims) for one in (*config.input, *config.output)] == [[-1, 2], [-1, 2], [2]]


@pytest.mark.parametrize(
    ("way", "time", "message"),
    [
        ("chunks", "time", "time_axis is 'chunks'; give step or chunk"),
        ("step", 4, "time_axis is step, but no input has a free axis"),
    ],
)
def test_a_time_axis_at_odds_with_the_graph_is_refused(tmp_path, way, time, message):
    path = prefix_sum(tmp_path / "prefix", chunk_config(START, way=way), time=time)
    with pytest.raises(ArtifactError, match=message):
        load(path)


def test_an_output_with_fewer_answers_than_steps_is_refused(tmp_path):
    path = save(
        tmp_path / "short",
        [("x", F32, ["batch", "time", 2]), ("state", F32, ["batch", 2])],
        [("y", F32, ["batch", None, 2]), ("state_out", F32, ["batch", 2])],
        [
            helper.make_node("Slice", ["x", "zero", "most", "one"], ["y"]),
            helper.make_node("Identity", ["state"], ["state_out"]),
        ],
        {name: np.array([number], np.int64) for number, name in enumerate(("zero", "one", "most"))},
        chunk_config(),
    )
    with pytest.raises(ArtifactError, match=r"output 'y' has shape \[1, 1, 2\] for one step and"):
        load(path)
