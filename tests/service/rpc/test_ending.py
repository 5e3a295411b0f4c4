"""The end of a server: what sequences may still do, one deadline for all, and a second signal."""

import asyncio
import signal

import grpc
import numpy as np
import pytest
from foreign import accumulator
from processes import serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from service.rpc.ending import Ending
from service.rpc.probe import probe


class Slow:
    """Sequences that are never handed over, and streams that say how long they were waited for."""

    live = 0

    def __init__(self):
        self.waited, self.hurries = [], 0
        self.begun = asyncio.Event()

    async def hand_over(self):
        self.begun.set()
        await asyncio.Event().wait()

    async def drain(self, seconds):
        self.waited.append(seconds)

    def hurry(self):
        self.hurries += 1


async def test_what_the_hand_over_took_is_not_waited_again():
    slow = Slow()
    async with asyncio.timeout(30):
        await Ending(slow, slow).part(0.01)
    assert slow.waited == [0]


async def test_a_second_signal_ends_the_hand_over_and_the_wait():
    slow = Slow()
    ending = Ending(slow, slow)
    ending.ask()
    async with asyncio.timeout(30):
        await ending.asked()
        parting = asyncio.create_task(ending.part(600))
        await slow.begun.wait()
        assert not slow.hurries
        ending.ask()
        await parting
    assert slow.waited == [0]
    assert slow.hurries == 1


async def test_a_hand_over_that_fails_is_logged_and_streams_have_their_time(caplog):
    class Failing(Slow):
        async def hand_over(self):
            raise MemoryError("no room")

    failing = Failing()
    await Ending(failing, failing).part(600)
    assert failing.waited[0] > 0
    assert "no room" in caplog.text


def request(sequence, start=False, end=False):
    message = wire.ModelInferRequest(model_name="acc")
    message.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    message.raw_input_contents.append(np.array([1, 2, 3], "<f4").tobytes())
    message.parameters["sequence_id"].int64_param = sequence
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    return message


def test_sequences_that_no_other_server_can_have_go_on_until_they_end(tmp_path):
    with (
        serving(accumulator(tmp_path / "acc"), "--drain-seconds", 600) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        infer(request(5, start=True), timeout=30)
        server.process.send_signal(signal.SIGTERM)
        while probe(server.target, 10) == "SERVING":
            pass
        for sequence in (5, 6):
            with pytest.raises(grpc.RpcError, match="this server is stopping"):
                infer(request(sequence, start=True), timeout=30)
        answer = infer(request(5, end=True), timeout=30)
        assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [5, 10, 15]
        assert server.process.wait(30) == 0
