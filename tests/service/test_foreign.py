"""Models by others, through the loader and the seam: what they declare, and what is refused."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign import (
    ACCUMULATOR_CONFIG,
    F32,
    accumulator,
    dividing,
    doubling,
    running_sum,
    save,
    state,
    time_leading,
)
from onnx import helper

from service.errors import ArtifactError, ServiceError
from service.loader import load_model
from service.metrics import Metrics
from service.models import Models
from service.repository import Entry
from service.requests import Answer, Input, Request
from service.sequences import Sequences
from service.settings import Settings
from service.streams import Streams
from service.tensors import wire_name


def load(path: Path):
    entry = Entry(path.parent.parent.name, int(path.parent.name), path)
    return load_model(entry, Settings(path, max_streams=64), Metrics())


class Calls:
    """Sequences over one model, with requests made from arrays."""

    def __init__(self, *models, **settings):
        self.models = Models(models)
        self.metrics = Metrics()
        options = Settings(Path("unused"), **settings)
        self.streams = Streams(self.models, options, self.metrics)
        self.sequences = Sequences(self.models, self.streams, options, self.metrics)
        self.name = models[0].name

    def infer(self, sequence=None, start=False, end=False, version="", outputs=(), **arrays):
        future = asyncio.get_running_loop().create_future()
        inputs = [
            Input(name, wire_name(value.dtype), value.shape, value.tobytes())
            for name, value in arrays.items()
        ]
        request = Request(self.name, version, inputs, sequence, start, end, outputs)
        self.sequences.infer(request, future.set_result)
        return future


def arrays(answer):
    assert isinstance(answer, Answer), answer
    return {
        tensor.name: np.frombuffer(data, tensor.dtype).reshape(shape)
        for tensor, shape, data in answer.outputs
    }


def row(*values):
    return np.array([values], np.float32)


async def test_states_controls_constants_and_initial_values_are_as_declared(tmp_path):
    calls = Calls(load(accumulator(tmp_path / "acc")))
    first = arrays(await calls.infer(7, start=True, x=row(1, 1, 1)))
    # The file's first sum, the constant scale 2, the parameter's first counts.
    assert first["y"].tolist() == [[3, 4, 5]]
    assert first["counts"].tolist() == [[[11], [21]]]
    assert first["told"].tolist() == [[1, 0, 1, 7]]
    second = arrays(await calls.infer(7, x=row(0, 0, 1)))
    assert second["y"].tolist() == [[3, 4, 7]]
    assert second["told"].tolist() == [[0, 0, 1, 7]]
    last = arrays(await calls.infer(7, end=True, x=row(0, 0, 0), outputs=("told", "counts")))
    assert last["told"].tolist() == [[0, 1, 1, 7]]
    assert last["counts"].tolist() == [[[13], [23]]]
    assert list(last) == ["counts", "told"]
    assert calls.streams.live == 0


async def test_streams_in_company_keep_states_of_their_own(tmp_path):
    model = load(accumulator(tmp_path / "acc"))
    assert model.batcher.max_batch == 16
    calls = Calls(model)
    inputs = np.random.default_rng(1).normal(size=(6, 20, 1, 3)).astype(np.float32)
    for step in range(6):
        answers = await asyncio.gather(
            *(calls.infer(n + 1, start=step == 0, x=inputs[step, n]) for n in range(20))
        )
        for n, answer in enumerate(answers):
            total = np.array([1, 2, 3], np.float32)
            for before in range(step + 1):
                total = total + np.float32(2) * inputs[before, n, 0]
            found = arrays(answer)
            assert found["y"].tobytes() == total.astype(np.float32).tobytes()
            assert found["counts"].ravel().tolist() == [11 + step, 21 + step]
            assert found["told"][0, 3] == n + 1
    assert model.batcher.statistics.by_rows.keys() >= {16, 4}


async def test_a_model_without_state_or_config_is_batched(tmp_path):
    model = load(doubling(tmp_path / "double"))
    calls = Calls(model)
    batch = np.arange(12, dtype=np.float32).reshape(4, 3)
    answers = await asyncio.gather(calls.infer(x=batch), calls.infer(x=batch + 1))
    assert arrays(answers[0])["y"].tolist() == (batch * 2).tolist()
    assert arrays(answers[1])["y"].tolist() == (batch * 2 + 2).tolist()
    assert list(model.batcher.statistics.by_rows) == [8]


async def test_a_time_axis_is_fed_step_by_step(tmp_path):
    config = (
        'max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [ -1, 2 ] }'
        'parameters { key: "time_axis" value { string_value: "step" } } sequence_batching { '
        + state("state", "state_out", "TYPE_FP32", "[ 2 ]")
        + " }"
    )
    model = load(running_sum(tmp_path / "sum", config))
    calls = Calls(model)
    whole = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    long, short = await asyncio.gather(
        calls.infer(1, start=True, x=whole), calls.infer("1", start=True, x=whole[:, :1])
    )
    assert arrays(long)["y"].tolist() == np.cumsum(whole, 1).tolist()
    assert arrays(short)["y"].tolist() == whole[:, :1].tolist()
    more = arrays(await calls.infer(1, x=whole[:, :2]))
    assert more["y"].tolist() == (whole.sum(1, keepdims=True) + np.cumsum(whole[:, :2], 1)).tolist()


def test_a_fixed_batch_of_one_is_served_unbatched(tmp_path):
    config = "sequence_batching { " + state("state", "state_out", "TYPE_FP32", "[ 1, 2 ]") + " }"
    path = save(
        tmp_path / "one",
        [("x", F32, [1, 2]), ("state", F32, [1, 2])],
        [("y", F32, [1, 2]), ("state_out", F32, [1, 2])],
        [
            helper.make_node("Add", ["x", "state"], ["state_out"]),
            helper.make_node("Identity", ["state_out"], ["y"]),
        ],
        config=config,
    )
    model = load(path)
    assert model.batcher.max_batch == 1
    assert not model.signature.batched

    async def run():
        calls = Calls(model)
        answers = [calls.infer(n, start=True, x=row(n, 1)) for n in (1, 2, 3)]
        return [arrays(await answer)["y"].tolist() for answer in answers]

    assert asyncio.run(run()) == [[[1, 1]], [[2, 1]], [[3, 1]]]


def test_a_time_leading_model_is_never_batched_by_mistake(tmp_path, caplog):
    config = "max_batch_size: 8 sequence_batching { " + (
        state("state", "state_out", "TYPE_FP32", "[ 2 ]") + " }"
    )
    model = load(time_leading(tmp_path / "lead", config))
    assert model.batcher.max_batch == 1
    assert "change each other's bits" in caplog.text


async def test_a_model_that_answers_infinity_ends_its_sequence_alone(tmp_path):
    calls = Calls(load(dividing(tmp_path / "div")))
    good = calls.infer(1, start=True, x=np.array([[2]], np.float32))
    bad = calls.infer(2, start=True, x=np.array([[0]], np.float32))
    fault = await bad
    assert isinstance(fault, ServiceError)
    assert fault.reason == "MODEL_NOT_FINITE"
    assert arrays(await good)["y"].tolist() == [[0.5]]
    assert arrays(await calls.infer(1, x=np.array([[2]], np.float32)))["y"].tolist() == [[0.25]]
    again = await calls.infer(2, x=np.array([[1]], np.float32))
    assert again.reason == "SEQUENCE_NOT_STARTED"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_batch_size: 16", "max_batch_size: 16 max_bath: 3", 'no field named "max_bath"'),
        ("dims: [ 3 ] }\nseq", "dims: [ 4 ] }\nseq", "input 'x': dims are \\[4\\], the graph's"),
        (
            "data_type: TYPE_FP32 dims: [ 3 ]\n",
            "data_type: TYPE_FP64 dims: [ 3 ]\n",
            "state 'sum': data_type is TYPE_FP64, the graph's is TYPE_FP32",
        ),
        ("dims: [ 2, 1 ]", "dims: [ 3, 1 ]", "state 'count': dims are \\[3, 1\\]"),
        (
            'output_name: "count_out"',
            'output_name: "sum_out"',
            "pair an input and an output of one data_type",
        ),
        (
            'output_name: "sum_out"',
            'output_name: "told"',
            "has shape \\[1, 3\\] for one stream, its output",
        ),
        ('input_name: "sum"', 'input_name: "summe"', "'summe' is not in the graph, which has x"),
        ("constant_input.scale", "constant_input.scales", "'scales' is not in the graph"),
        (
            'parameters { key: "constant_input.scale" value { string_value: "2" } }',
            "",
            "'scale' stands nowhere",
        ),
        ('string_value: "2"', 'string_value: "two"', "give 1 numbers"),
        ('data_file: "sum"', 'data_file: "../../secret"', "lies outside initial_state"),
        ('data_file: "sum"', 'data_file: "none"', "No such file"),
        ("fp32_false_true: [ 0, 1 ]", "", "give two values"),
        (
            "max_batch_size: 16",
            'max_batch_size: 16 backend: "python"',
            "backend 'python' is not served",
        ),
        ("max_batch_size: 16", 'max_batch_size: 16 name: "other"', "name is 'other', its folder"),
    ],
)
def test_a_config_at_odds_with_the_graph_is_refused(tmp_path, old, new, message):
    assert old in ACCUMULATOR_CONFIG
    path = accumulator(tmp_path / "acc", ACCUMULATOR_CONFIG.replace(old, new))
    with pytest.raises(ArtifactError, match=message) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_a_stateful_model_without_config_is_told_to_be_inspected(tmp_path):
    path = running_sum(tmp_path / "sum", None)
    with pytest.raises(ArtifactError, match=r"looks as if it keeps state .*service inspect"):
        load(path)


@pytest.mark.parametrize("location", ["../weights", "/etc/passwd", "missing.bin"])
def test_weights_outside_the_folder_or_missing_are_refused(tmp_path, location):
    path = doubling(tmp_path / "double")
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    (tmp_path / "double" / "weights").write_bytes(b"0000")
    with pytest.raises(ArtifactError, match=r"outside its folder|is not there"):
        load(path)


async def test_weights_beside_the_model_are_served(tmp_path):
    path = doubling(tmp_path / "double")
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    (path.parent / "weights.bin").write_bytes(np.array(5, "<f4").tobytes())
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    path.write_bytes(model.SerializeToString())
    answer = await Calls(load(path)).infer(x=row(1, 2, 3))
    assert arrays(answer)["y"].tolist() == [[5, 10, 15]]


def test_a_custom_operator_is_refused(tmp_path):
    path = save(
        tmp_path / "custom",
        [("x", F32, ["batch", 3])],
        [("y", F32, ["batch", 3])],
        [helper.make_node("Sorcery", ["x"], ["y"], domain="com.example")],
    )
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match="ONNX Runtime refuses it"):
        load(path)


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
    one = load(doubling(tmp_path / "v", version=1))
    assert replace(one, version=2).version == 2
    first = load(accumulator(tmp_path / "acc"))
    calls = Calls(first)
    await calls.infer(5, start=True, x=row(1, 1, 1))
    newer = replace(load(accumulator(tmp_path / "acc")), version=2)
    calls.models.add(newer)
    assert (await calls.infer(5, x=row(1, 1, 1))).model.version == 1
    assert (await calls.infer(5, version="2", x=row(1, 1, 1))).reason == "VERSION_CHANGED"
    assert (await calls.infer(6, start=True, x=row(1, 1, 1))).model.version == 2
