"""Models by others, through the loader and the seam: what they declare, and what is refused."""

import asyncio

import numpy as np
import onnx
import pytest
from calling import Calls, arrays, load, row
from foreign import (
    ACCUMULATOR_CONFIG,
    F32,
    START,
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
from service.streams.chunks import Chunk


async def test_the_native_seam_fills_in_controls(tmp_path):
    # state' = state + x + start, and y is the state: START comes with the first step alone.
    path = save(
        tmp_path / "sum",
        [("x", F32, ["batch", 2]), ("start", F32, ["batch", 1]), ("state", F32, ["batch", 2])],
        [("y", F32, ["batch", 2]), ("state_out", F32, ["batch", 2])],
        [
            helper.make_node("Add", ["x", "start"], ["marked"]),
            helper.make_node("Add", ["state", "marked"], ["state_out"]),
            helper.make_node("Identity", ["state_out"], ["y"]),
        ],
        config="max_batch_size: 8 sequence_batching { "
        f"{START} {state('state', 'state_out', 'TYPE_FP32', '[ 2 ]')} }}",
    )
    calls = Calls(load(path))
    stream = calls.streams.open("sum")
    for number, values in enumerate(([[1, 2], [3, 4]], [[5, 6]]), start=1):
        x = np.array(values, "<f4")
        outputs = await calls.streams.push(stream, Chunk(number, "float32", len(x), 2, x.tobytes()))
        assert outputs.tolist() == [[[2, 3], [5, 7]], [[10, 13]]][number - 1]


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
        ('string_value: "2"', 'string_value: "1e60"', "give numbers that FP32 can hold"),
        ("10,20", "10,nan", "'10,nan'; give numbers that INT64 can hold"),
        ("10,20", "1.5", "give numbers that INT64 can hold"),
        ("10,20", "1,2,3", "give 2 numbers with commas between, or one"),
        ('data_file: "sum"', 'data_file: "../../secret"', "lies outside initial_state"),
        ('data_file: "sum"', 'data_file: "none"', "No such file"),
        ("fp32_false_true: [ 0, 1 ]", "", "give two values"),
        (
            "int32_false_true: [ 0, 1 ]",
            "fp32_false_true: [ 0, 0.5 ]",
            "numbers that INT32 can hold",
        ),
        ("data_type: TYPE_INT64 }", "int32_false_true: [ 7 ] }", "'corrid': data_type is"),
        ("CORRID data_type", "CORRID int32_false_true: [ 7 ] data_type", "a number of its own"),
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


def test_streams_never_begin_in_what_is_no_number(tmp_path):
    path = accumulator(tmp_path / "acc")
    broken = np.array([1, np.nan, 3], np.float32)
    (path.parent.parent / "initial_state" / "sum").write_bytes(broken.tobytes())
    with pytest.raises(ArtifactError, match="state 'sum': its initial state holds NaN or infinity"):
        load(path)


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
