"""The proposals of `inspect`, as the command prints them, and that they can be served."""

import subprocess
import sys

from foreign import accumulator, doubling, running_sum
from google.protobuf import text_format

from protos.inference.model_config_pb2 import ModelConfig
from service.artifacts.repository import Entry
from service.metrics import Metrics
from service.models.loader import load_model
from service.settings import Settings


def inspect(path):
    done = subprocess.run(
        [sys.executable, "-m", "service", "inspect", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_states_are_paired_by_name_type_and_shape(tmp_path):
    path = running_sum(tmp_path / "sum", None)
    code, text, _ = inspect(path)
    assert code == 0
    config = text_format.Parse(text, ModelConfig())
    (state,) = config.sequence_batching.state
    assert (state.input_name, state.output_name, list(state.dims)) == ("state", "state_out", [2])
    assert "# input 'x' has a free axis: give its size in dims" in text
    reviewed = text.replace("dims: -1\n", "dims: 1\n")
    (tmp_path / "sum" / "config.pbtxt").write_text(reviewed)
    settings = Settings(tmp_path, max_streams=4)
    model = load_model(Entry("sum", 1, path), settings, Metrics())
    assert model.signature.states[0].tensor.shape == (2,)


def test_a_model_without_state_gets_none(tmp_path):
    code, text, _ = inspect(doubling(tmp_path / "double"))
    assert code == 0
    assert "no input looks like a state" in text
    assert "sequence_batching" not in text


def test_single_numbers_are_proposed_as_constants(tmp_path):
    code, text, _ = inspect(accumulator(tmp_path / "acc"))
    assert code == 0
    assert "constant_input.scale" in text
    assert "input 'scale' is a single number" in text


def test_what_is_no_model_is_refused_in_one_line(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("no model")
    code, _, errors = inspect(path)
    assert code == 2
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
