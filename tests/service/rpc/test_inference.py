"""Many sequences over one stream of the Open Inference Protocol: their batches, order and bits."""

import asyncio

import grpc
import numpy as np
import pytest
from processes import serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from service.artifacts import artifact
from service.runtime.engine import Engine

SEQUENCES, STEPS, FEATURES = 48, 12, 5


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(7).normal(size=(SEQUENCES, STEPS, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(model_path, inputs):
    """Each sequence alone through the engine, a list of the bytes of its answers."""
    engine = Engine(artifact.load(model_path), provider="cpu", max_batch=1)
    answers = []
    for rows in inputs:
        engine.start([state.initial[np.newaxis] for state in engine.signature.states])
        answers.append([])
        for row in rows:
            engine.inputs[0] = row
            engine.follow(1)
            answers[-1].append(engine.outputs[0].tobytes())
    return answers


def request(number, step, row):
    message = wire.ModelInferRequest(model_name="random", id=f"{number}.{step}")
    message.parameters["sequence_id"].int64_param = number + 1
    message.parameters["sequence_start"].bool_param = step == 0
    message.parameters["sequence_end"].bool_param = step == STEPS - 1
    message.inputs.add(name="input", datatype="FP32", shape=[1, FEATURES])
    message.raw_input_contents.append(row.tobytes())
    return message


async def talk(target, inputs, closed):
    """Every sequence over one stream; where `closed`, a step follows the answer to the last."""
    found = [[] for _ in inputs]
    async with grpc.aio.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer()
        for step in range(1 if closed else STEPS):
            for number, rows in enumerate(inputs):
                await call.write(request(number, step, rows[step]))
        for _ in range(SEQUENCES * STEPS):
            reply = await call.read()
            assert not reply.error_message
            number, step = map(int, reply.infer_response.id.split("."))
            assert step == len(found[number])
            found[number].append(reply.infer_response.raw_output_contents[0])
            if closed and step + 1 < STEPS:
                await call.write(request(number, step + 1, inputs[number, step + 1]))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        reply = await stub.ModelStatistics(wire.ModelStatisticsRequest(name="random"))
    return found, reply.model_stats[0]


@pytest.mark.parametrize("closed", [False, True], ids=["ahead", "in-turn"])
def test_requests_of_different_sequences_on_one_stream_share_calls(
    model_path, inputs, expected, closed
):
    with serving(model_path) as server:
        found, statistics = asyncio.run(talk(server.target, inputs, closed))
    assert found == expected
    assert statistics.inference_count == SEQUENCES * STEPS
    if not closed:
        # A caller that answers at its own pace may be slower than the server.
        assert statistics.execution_count * 2 < statistics.inference_count
