"""NVIDIA's own client against a running server: nothing of it has to change."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import serving

from service.artifacts import artifact
from service.runtime.engine import Engine

SCRIPT = Path(__file__).with_name("triton_calls.py")


@pytest.fixture(scope="module")
def several():
    return np.random.default_rng(3).normal(size=(3, 6, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def found(model_path, several):
    with serving(model_path) as server:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), server.target, json.dumps(several.tolist())],
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(model_path, several):
    """Each sequence alone through the engine, (3, 6, outputs)."""
    engine = Engine(artifact.load(model_path), provider="cpu", max_batch=1)
    answers = []
    for rows in several:
        engine.states[:1] = engine.signature.initial_row()
        for row in rows:
            engine.inputs[0] = row
            engine.step(1)
            answers.append(engine.outputs[0].copy())
            engine.states[:1] = engine.next_states[:1]
    return np.array(answers).reshape(3, 6, -1)


def same_bits(found, expected):
    return np.array(found, np.float32).tobytes() == expected.astype(np.float32).tobytes()


def test_unary_calls_keep_the_state_of_their_sequence(found, expected):
    assert same_bits(found["unary"], expected[0])


def test_several_sequences_share_one_stream_with_ids_of_both_kinds(found, expected):
    answers, order, _ = found["streamed"]
    assert same_bits(answers, expected)
    for number in range(3):
        steps = [step for one, step in order if one == number]
        assert [step for step in steps if step] == [1, 2, 3, 4, 5]


def test_an_error_on_a_stream_comes_in_band_and_the_stream_lives_on(found):
    (message, _), *others = found["streamed"][2]
    assert "sequence '11' of model random is not live" in message
    assert not others
    assert [0, 0] in found["streamed"][1][-2:]


def test_the_asynchronous_client_and_its_stream_work(found, expected):
    unary, streamed = found["aio"]
    assert same_bits(unary, expected[0])
    assert same_bits(streamed, expected[0])


def test_what_the_server_and_the_model_are_is_told(found):
    assert found["live"]
    assert found["ready"]
    assert found["model_ready"]
    assert not found["other_ready"]
    assert "sequence" in found["server"]["extensions"]
    assert found["metadata"]["inputs"] == [
        {"name": "input", "datatype": "FP32", "shape": ["-1", "5"]}
    ]
    config = found["config"]
    assert config["max_batch_size"] == 256
    assert config["sequence_batching"]["state"][0]["input_name"] == "state"
    assert found["index"] == [{"name": "random", "version": "1", "state": "READY"}]


def test_errors_bear_the_codes_of_triton(found):
    status, message = found["unknown"]
    assert status == "StatusCode.NOT_FOUND"
    assert "this server has random" in message
    assert found["unstarted"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "set sequence_start" in found["unstarted"][1]
    assert found["without"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "sequence_id" in found["without"][1]


def test_statistics_count_every_step(found):
    sums = found["statistics"]
    # 6 alone, 18 and 1 on the stream, 6 and 6 of the asynchronous client.
    assert sums["inference_count"] == "37"
    assert int(sums["execution_count"]) <= 37
    assert int(sums["inference_stats"]["compute_infer"]["ns"]) > 0
    by_size = {
        int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in sums["batch_stats"]
    }
    assert sum(rows * calls for rows, calls in by_size.items()) == 37


def test_models_are_unloaded_and_loaded_again(found, expected):
    assert found["unloaded"][0] == "StatusCode.NOT_FOUND"
    assert same_bits(found["loaded"], expected[0, 0])
