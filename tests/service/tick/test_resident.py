"""States on a device, tested on the one that every machine has: the CPU."""

import asyncio

import numpy as np
import onnx
import pytest
from calling import Calls, arrays, load, row
from fakes import chunk, distinct, submit
from foreign import F32, I64, save, state
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from service.artifacts import repository
from service.errors import Exhausted, ModelFault, ProviderError
from service.metrics import Metrics
from service.models import loader
from service.models.loader import load_model
from service.models.served import Models
from service.runtime.engine import Engine
from service.runtime.rewriting import NotRewritableError, keep_states_inside
from service.settings import Settings
from service.streams.seam import Streams
from service.tick.advance import HostAdvance
from service.tick.arena import Arena
from service.tick.batcher import Batcher
from service.tick.resident import Resident

FEATURES = 5


def resident(loaded, capacity=8, max_batch=6):
    signature = loaded.signature
    return Resident(loaded, signature, provider="cpu", capacity=capacity, max_batch=max_batch)


def on_host(loaded, capacity=8, max_batch=6):
    engine = Engine(loaded, provider="cpu", max_batch=max_batch)
    arena = Arena(capacity, loaded.signature.initial_row())
    layouts = loaded.signature.output_layout(), loaded.signature.state_layout()
    return HostAdvance(engine, arena, layouts), arena


@pytest.fixture
def on_device(monkeypatch):
    """Lets the loader keep states on the CPU as on a device of its own."""
    monkeypatch.setattr(loader, "_WITH_MEMORY", {"cpu", "cuda"})


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_the_bits_are_those_of_states_on_the_host(loaded, data):
    """Any order of opens, steps in any company, and closes."""
    there = resident(loaded)
    here, arena = on_host(loaded)
    open_slots = []
    for number in range(data.draw(st.integers(1, 12))):
        if len(open_slots) < 6 and (not open_slots or data.draw(st.booleans())):
            slot = there.acquire()
            assert slot == arena.acquire()
            open_slots.append(slot)
        elif data.draw(st.booleans()):
            slot = open_slots.pop(data.draw(st.integers(0, len(open_slots) - 1)))
            assert there.slots.release(slot) == arena.slots.release(slot)
            continue
        company = data.draw(st.permutations(open_slots))[: data.draw(st.integers(1, 6))]
        slots = np.array([slot.row for slot in company])
        inputs = distinct(len(slots), number, FEATURES)
        for one in (there, here):
            one.inputs[: len(slots)] = inputs
            one.gather(slots)
            one.step(len(slots))
            assert one.scatter(slots) is None
        rows = slice(len(slots))
        assert there.outputs[rows].tobytes() == here.outputs[rows].tobytes()
    assert there.slots.taken == arena.slots.taken == len(open_slots)


def test_a_slot_starts_in_the_initial_state_whatever_its_last_stream_left(loaded):
    one = resident(loaded, capacity=1)
    answers = []
    for seed in (1, 2, 1):
        slot = one.acquire()
        for inputs in distinct(3, seed, FEATURES):
            one.inputs[0] = inputs
            one.gather(np.array([slot.row]))
            one.step(1)
            one.scatter(np.array([slot.row]))
        answers.append(one.outputs[0].tobytes())
        with pytest.raises(Exhausted):
            one.acquire()
        one.slots.release(slot)
    assert answers[0] == answers[2] != answers[1]


def two_states(folder, config_more=""):
    """sum' = sum + x, [3], from 1, 2, 3; count' = count + 1, int64 [2, 1], from 10, 20."""
    config = (
        'max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } sequence_batching {'
        + state("sum", "sum_out", "TYPE_FP32", "[ 3 ]")
        + state("count", "count_out", "TYPE_INT64", "[ 2, 1 ]")
        + '} parameters { key: "initial_state.sum" value { string_value: "1,2,3" } }'
        + 'parameters { key: "initial_state.count" value { string_value: "10,20" } }'
    )
    return save(
        folder,
        [("x", F32, ["b", 3]), ("sum", F32, ["b", 3]), ("count", I64, ["b", 2, 1])],
        [
            ("y", F32, ["b", 3]),
            ("counts", I64, ["b", 2, 1]),
            ("sum_out", F32, ["b", 3]),
            ("count_out", I64, ["b", 2, 1]),
        ],
        [
            helper.make_node("Add", ["sum", "x"], ["sum_out"]),
            helper.make_node("Identity", ["sum_out"], ["y"]),
            helper.make_node("Add", ["count", "one"], ["count_out"]),
            helper.make_node("Identity", ["count_out"], ["counts"]),
        ],
        {"one": np.array(1, np.int64)},
        config,
    )


@pytest.mark.usefixtures("on_device")
async def test_several_states_of_any_dtype_and_shape_stay_on_the_device(tmp_path):
    model = load(two_states(tmp_path / "two"))
    assert isinstance(model.arena, Resident)
    calls = Calls(model)
    await asyncio.gather(
        calls.infer(1, start=True, x=row(1, 1, 1)), calls.infer(2, start=True, x=row(5, 5, 5))
    )
    one, two = await asyncio.gather(
        calls.infer(1, x=row(1, 0, 0)), calls.infer(2, end=True, x=row(0, 0, 1))
    )
    assert arrays(one)["y"].tolist() == [[3, 3, 4]]
    assert arrays(two)["y"].tolist() == [[6, 7, 9]]
    assert arrays(one)["counts"].reshape(-1).tolist() == [12, 22]
    again = await calls.infer(2, start=True, x=row(0, 0, 0))
    assert arrays(again)["y"].tolist() == [[1, 2, 3]]


@pytest.mark.usefixtures("on_device")
async def test_a_state_that_is_no_number_ends_its_stream_alone(tmp_path):
    calls = Calls(load(two_states(tmp_path / "two")))
    healthy = calls.infer(1, start=True, x=row(1, 1, 1))
    await calls.infer(2, start=True, x=row(3e38, 0, 0))
    await healthy
    healthy, lost = await asyncio.gather(
        calls.infer(1, x=row(1, 1, 1)), calls.infer(2, x=row(3e38, 0, 0))
    )
    assert arrays(healthy)["y"].tolist() == [[3, 4, 5]]
    assert isinstance(lost, ModelFault)
    assert lost.reason == "MODEL_NOT_FINITE"


def test_a_state_is_found_to_be_no_number_where_the_outputs_are(tmp_path):
    path = two_states(tmp_path / "two")
    model = onnx.load(path)
    # y = x - x: a state that overflows is seen nowhere else.
    model.graph.node[1].CopyFrom(helper.make_node("Sub", ["x", "x"], ["y"]))
    onnx.save(model, path)
    loaded = load(path)
    one = Resident(loaded.artifact, loaded.signature, provider="cpu", capacity=4, max_batch=4)
    slots = np.array([one.acquire().row for _ in range(3)])
    found = []
    for large in (3e38, 3e38):
        one.inputs[:3].view(np.float32)[:, :3] = [[1, 1, 1], [0, large, 0], [2, 2, 2]]
        one.gather(slots)
        one.step(3)
        found.append(one.scatter(slots))
    assert found[0] is None
    assert found[1].tolist() == [True, False, True]


@pytest.mark.usefixtures("on_device")
async def test_a_loaded_model_is_proven_and_streams_there(model_path, monkeypatch):
    settings = Settings(model_path.parent, max_streams=5)
    entry = repository.scan(model_path.parent.parent.parent)[0]
    model = load_model(entry, settings, Metrics())
    assert isinstance(model.arena, Resident)
    monkeypatch.setattr(loader, "_WITH_MEMORY", set())
    reference = load_model(entry, settings, Metrics())
    assert model.self_test == reference.self_test
    inputs = distinct(9, 3, FEATURES)
    answers = []
    for one in (model, reference):
        streams = Streams(Models([one]), settings, Metrics())
        stream = streams.open("random")
        first, second = chunk(1, inputs[:2]), chunk(2, inputs[2:])
        answers.append([(await streams.push(stream, part)).tobytes() for part in (first, second)])
    assert answers[0] == answers[1]


async def test_on_cuda_the_answers_are_those_of_the_cpu_within_the_proofs_tolerance(model_path):
    entry = repository.scan(model_path.parent.parent.parent)[0]
    try:
        model = load_model(entry, Settings(model_path.parent, provider="cuda"), Metrics())
    except ProviderError as error:
        pytest.skip(f"needs a GPU for CUDA: {error}")
    assert isinstance(model.arena, Resident)
    assert model.provider == "cuda"
    reference = load_model(entry, Settings(model_path.parent), Metrics())
    tolerance = model.artifact.golden.tolerance
    answers = []
    for one in (model, reference):
        streams = Streams(Models([one]), Settings(model_path.parent), Metrics())
        opened = [streams.open("random") for _ in range(40)]
        parts = [chunk(1, distinct(20, seed, FEATURES)) for seed in range(40)]
        pushes = [streams.push(stream, part) for stream, part in zip(opened, parts, strict=True)]
        answers.append(np.array(await asyncio.gather(*pushes)))
    assert np.abs(answers[0] - answers[1]).max() <= 2 * tolerance


@pytest.mark.usefixtures("on_device")
def test_what_cannot_keep_its_states_inside_keeps_them_on_the_host(tmp_path, caplog):
    from foreign import accumulator

    with caplog.at_level("INFO"):
        model = load(accumulator(tmp_path / "acc"))
    assert isinstance(model.arena, Arena)
    assert "keeps its states on the host: state count has another axis before" in caplog.text


def test_old_operators_and_states_that_follow_from_nothing_are_refused(tmp_path):
    loaded = load(two_states(tmp_path / "two"))
    model, states = loaded.artifact.model, loaded.signature.states
    keep_states_inside(model, states, 4)
    old = onnx.load_from_string(model)
    old.opset_import[0].version = 10
    with pytest.raises(NotRewritableError, match="opset is 10, and it takes 11"):
        keep_states_inside(old.SerializeToString(), states, 4)
    loose = onnx.load_from_string(model)
    loose.graph.node[0].input[0] = "x"
    with pytest.raises(NotRewritableError, match="sum_out does not follow from sum"):
        keep_states_inside(loose.SerializeToString(), states, 4)


async def test_a_call_that_fails_is_a_model_fault_and_the_rhythm_goes_on(loaded):
    one = resident(loaded)
    batcher = Batcher(one, one, Metrics().model("m", "1", lambda: one.taken))

    class Failing:
        def __init__(self, session):
            self.io_binding = session.io_binding

        def run_with_iobinding(self, binding):
            raise RuntimeError("secret")

    session, one._session = one._session, Failing(one._session)
    inputs = distinct(1, 1, FEATURES)
    with pytest.raises(ModelFault) as fault:
        await submit(batcher, one.acquire(), inputs)
    assert "secret" not in str(fault.value)
    one._session = session
    assert (await submit(batcher, one.acquire(), inputs)).shape == (1, 3)
