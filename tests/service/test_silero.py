"""A model that nobody here wrote: silero-vad over real speech, 64 recordings at once.

Its own Python wrapper says what the probabilities are. The package is read without being installed,
since its dependencies would replace ONNX Runtime's GPU build.
"""

import asyncio
import importlib.util
import os
import wave
import zipfile
from pathlib import Path

import grpc
import numpy as np
import pytest
from processes import serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from training.data import packages

VERSION = "silero-vad==6.2.3"
SHA256 = "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"
MODEL = "silero_vad/data/silero_vad_op18_ifless.onnx"
WRAPPER = "silero_vad/utils_vad.py"
SPEECH = Path("/usr/share/asterisk/sounds")
RATE, SAMPLES, CONTEXT, STREAMS = 8_000, 256, 32, 64
CONFIG = """
max_batch_size: 64
input { name: "input" data_type: TYPE_FP32 dims: [ 288 ] }
output { name: "output" data_type: TYPE_FP32 dims: [ 1 ] }
sequence_batching {
  state { input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, 128 ] }
}
parameters { key: "constant_input.sr" value { string_value: "8000" } }
"""


@pytest.fixture(scope="module")
def silero(tmp_path_factory):
    """The unpacked package, once its hash was compared."""
    folder = tmp_path_factory.mktemp("silero")
    wheel = packages.download(VERSION, folder)
    packages.read_member(wheel, SHA256, MODEL)
    with zipfile.ZipFile(wheel) as package:
        package.extract(MODEL, folder)
        package.extract(WRAPPER, folder)
    return folder


@pytest.fixture(scope="module")
def recordings():
    """64 recordings, each (frames, SAMPLES) of numbers from -1 to 1."""
    files = sorted(SPEECH.rglob("*.wav"))
    if not files:
        reason = "needs recorded speech: apt-get install asterisk-core-sounds-en-wav"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    found = []
    for file in files:
        with wave.open(str(file)) as sound:
            assert (sound.getframerate(), sound.getsampwidth()) == (RATE, 2)
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768
        frames = len(samples) // SAMPLES
        if frames >= 20:
            found.append(samples[: frames * SAMPLES].astype(np.float32).reshape(frames, SAMPLES))
        if len(found) == STREAMS:
            return found
    raise AssertionError(f"only {len(found)} recordings are long enough")


@pytest.fixture(scope="module")
def expected(silero, recordings):
    """Probabilities of speech by the package's own wrapper, for each recording (frames,)."""
    import torch

    spec = importlib.util.spec_from_file_location("utils_vad", silero / WRAPPER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wrapper = module.OnnxWrapper(str(silero / MODEL), force_onnx_cpu=True)
    answers = []
    for frames in recordings:
        wrapper.reset_states()
        answers.append([wrapper(torch.from_numpy(frame), RATE).item() for frame in frames])
    return answers


def requests(number, frames):
    """Frame after frame of a recording, each with the end of the frame before."""
    before = np.zeros(CONTEXT, np.float32)
    for step, frame in enumerate(frames):
        message = wire.ModelInferRequest(model_name="vad")
        message.parameters["sequence_id"].string_param = f"recording-{number}"
        message.parameters["sequence_start"].bool_param = step == 0
        message.parameters["sequence_end"].bool_param = step == len(frames) - 1
        message.inputs.add(name="input", datatype="FP32", shape=[1, CONTEXT + SAMPLES])
        message.raw_input_contents.append(np.concatenate([before, frame]).tobytes())
        before = frame[-CONTEXT:]
        yield message


async def listen(stub, number, frames):
    """The probabilities of one recording, each frame sent when the last one is answered."""
    call, found = stub.ModelStreamInfer(), []
    for message in requests(number, frames):
        await call.write(message)
        reply = await call.read()
        assert not reply.error_message
        found += np.frombuffer(reply.infer_response.raw_output_contents[0], "<f4").tolist()
    await call.done_writing()
    return found


async def listen_to_all(target, recordings):
    """The probabilities of all recordings at once, a stream each; and the server's statistics."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answers = await asyncio.gather(
            *(listen(stub, number, frames) for number, frames in enumerate(recordings))
        )
        reply = await stub.ModelStatistics(wire.ModelStatisticsRequest(name="vad"))
    return answers, reply.model_stats[0]


def test_64_streams_get_the_probabilities_of_its_own_wrapper(
    silero, recordings, expected, tmp_path
):
    path = tmp_path / "models" / "vad" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes((silero / MODEL).read_bytes())
    (path.parent.parent / "config.pbtxt").write_text(CONFIG)
    with serving(path) as server:
        answers, statistics = asyncio.run(listen_to_all(server.target, recordings))
    # Bit for bit, and in company.
    assert answers == expected
    assert max(one.batch_size for one in statistics.batch_stats) > 8
    # There is speech in it, and silence.
    everything = np.concatenate(expected)
    assert everything.min() < 0.1
    assert everything.max() > 0.9
    assert statistics.inference_count == len(everything)
