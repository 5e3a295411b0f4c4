import dataclasses

import numpy as np
import pytest
from fakes import distinct
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifacts import artifact
from service.errors import ArtifactError, ModelFault, ProviderError
from service.runtime.engine import Engine
from service.tensors import Tensor

FEATURES, STATE, OUTPUTS = 5, 32, 3


@pytest.fixture(scope="module")
def engine(loaded):
    return Engine(loaded, provider="cpu", max_batch=40)


def run_alone(engine, inputs):
    """Outputs of one stream without company, (steps, outputs)."""
    outputs, state = [], np.zeros((1, STATE), np.float32)
    for step in inputs:
        engine.inputs[:1], engine.states[:1] = step, state
        engine.step(1)
        outputs.append(engine.outputs[0].copy())
        state = engine.next_states[:1].copy()
    return np.array(outputs)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_stream_has_the_same_bits_in_every_company(engine, data):
    rows = data.draw(st.integers(1, engine.max_batch))
    place = data.draw(st.integers(0, rows - 1))
    seed = data.draw(st.integers(0, 2**32 - 1))
    inputs = distinct(4, seed, FEATURES)
    company = distinct(4 * rows, seed + 1, FEATURES).reshape(4, rows, FEATURES)
    company[:, place] = inputs
    outputs, states = [], np.zeros((rows, STATE), np.float32)
    for step in company:
        engine.inputs[:rows], engine.states[:rows] = step, states
        engine.step(rows)
        outputs.append(engine.outputs[place].copy())
        states = engine.next_states[:rows].copy()
    assert np.array(outputs).tobytes() == run_alone(engine, inputs).tobytes()


def test_denormal_states_are_flushed_to_zero(engine):
    engine.inputs[:2] = 0
    engine.states[:2] = 1e-40
    engine.states[1] = 0
    engine.step(2)
    assert engine.next_states[0].tobytes() == engine.next_states[1].tobytes()


@pytest.mark.parametrize(
    ("side", "name", "width", "message"),
    [
        ("inputs", "input", 2, r"inputs are .*input float\[batch, 5\]"),
        ("inputs", "other", 5, r"the manifest says other float\[batch, 5\]"),
        ("outputs", "output", 1, r"outputs are .*output float\[batch, 3\]"),
    ],
)
def test_a_manifest_that_does_not_match_its_graph_is_refused(loaded, side, name, width, message):
    tensor = Tensor(name, np.dtype(np.float32), (width,))
    signature = dataclasses.replace(loaded.signature, **{side: (tensor,)})
    with pytest.raises(ArtifactError, match=f"does not match its graph: .*{message}") as refused:
        Engine(dataclasses.replace(loaded, signature=signature), provider="cpu", max_batch=1)
    assert "\n" not in str(refused.value)


def test_a_graph_that_onnx_runtime_refuses_is_refused_in_one_line(loaded):
    broken = dataclasses.replace(loaded, model=loaded.model[:50])
    with pytest.raises(ArtifactError, match="ONNX Runtime refuses it") as refused:
        Engine(broken, provider="cpu", max_batch=1)
    assert "\n" not in str(refused.value)


def test_cuda_is_verified_and_never_silently_the_cpu(loaded, capfd):
    try:
        engine = Engine(loaded, provider="cuda", max_batch=1)
    except ProviderError as error:
        assert "or take --provider cpu" in str(error)
        assert Engine(loaded, provider="auto", max_batch=1).provider == "cpu"
        # The one line says it all; ONNX Runtime's own alarms are kept out of the terminal.
        assert capfd.readouterr() == ("", "")
    else:
        assert engine.provider == "cuda"
        assert Engine(loaded, provider="auto", max_batch=1).provider == "cuda"


def test_auto_says_what_it_chose_and_why(loaded, caplog):
    with caplog.at_level("INFO"):
        chosen = Engine(loaded, provider="auto", max_batch=1).provider
    assert chosen == "cuda" or "provider auto: cpu, since ONNX Runtime" in caplog.text


def test_a_call_that_fails_is_a_model_fault_without_inner_details(loaded):
    engine = Engine(loaded, provider="cpu", max_batch=2)

    def crash(binding):
        raise RuntimeError("secret")

    engine._run = crash
    with pytest.raises(ModelFault, match="the model random failed on a step") as fault:
        engine.step(2)
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("activation", ["identity", "softmax", "sigmoid"])
def test_every_kind_of_network_is_served(make_model, reset_after, activation):
    path = make_model(reset_after=reset_after, activation=activation, bias=False, layers=1)
    loaded = artifact.load(path)
    assert loaded.classes == (activation == "softmax")
    outputs = run_alone_of(Engine(loaded, provider="cpu", max_batch=1), distinct(3, 1, FEATURES))
    assert np.isfinite(outputs).all()


def run_alone_of(engine, inputs):
    outputs = []
    engine.states[:1] = engine.signature.initial_row()
    for step in inputs:
        engine.inputs[:1] = step
        engine.step(1)
        engine.states[:1] = engine.next_states[:1]
        outputs.append(engine.outputs[0].copy())
    return np.array(outputs)


def test_an_engine_and_its_turned_one_take_steps_in_turn_without_a_copy(engine):
    inputs, rows = distinct(9, 3, FEATURES), 2
    ways, outputs = (engine, engine.turned()), []
    engine.states[:rows] = 0
    for number, step in enumerate(inputs):
        way = ways[number % 2]
        way.inputs[0], way.inputs[1] = step, -step
        way.step(rows)
        outputs.append(way.outputs[0].copy())

    assert np.array(outputs).tobytes() == run_alone(engine, inputs).tobytes()
