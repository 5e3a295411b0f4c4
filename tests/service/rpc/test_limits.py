"""What one caller can't take from others: streams, steps, names, memory."""

import secrets
import threading
import urllib.request

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from processes import resident, serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

FEATURES = 5
TOKENS = {name: secrets.token_hex(32) for name in ("free", "few", "slow")}
LIMITS = {"free": "", "few": "max_streams = 2", "slow": "max_steps_per_second = 0.01"}


def random(*shape):
    return np.random.default_rng(len(shape)).normal(size=(*shape, FEATURES)).astype(np.float32)


def bearer(name):
    return (("authorization", f"Bearer {TOKENS[name]}"),)


@pytest.fixture(scope="module")
def server(model_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("callers") / "callers.toml"
    path.touch(0o600)
    path.write_text(
        "\n".join(
            f'[[caller]]\nname = "{name}"\ntoken = "{token}"\n{LIMITS[name]}'
            for name, token in TOKENS.items()
        )
    )
    with serving(model_path, "--token-file", path) as server:
        yield server


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.target) as channel:
        yield channel


def metrics(server):
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        return page.read().decode()


class Call:
    """A native stream, message by message."""

    def __init__(self, channel, name):
        self.ready = threading.Semaphore(0)
        self.queue = [wire.ClientMessage(open=wire.Open(model="random"))]
        self.ready.release()
        stub = StreamServiceStub(channel)
        self.answers = stub.Stream(self.requests(), metadata=bearer(name), timeout=30)

    def requests(self):
        while self.ready.acquire(timeout=30) and (item := self.queue.pop(0)):
            yield item

    def say(self, message):
        self.queue.append(message)
        self.ready.release()

    def next(self):
        return next(self.answers)


def chunk(number, data):
    steps = len(data)
    return wire.ClientMessage(
        chunk=wire.Chunk(
            sequence=number,
            dtype=wire.DATA_TYPE_FLOAT32,
            steps=steps,
            features=FEATURES,
            data=data.tobytes(),
        )
    )


def request(row, sequence=1, *, start=False, end=False, model="random"):
    message = oip.ModelInferRequest(model_name=model)
    message.inputs.add(name="input", datatype="FP32", shape=[1, FEATURES])
    message.raw_input_contents.append(row.tobytes())
    message.parameters["sequence_id"].int64_param = sequence
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    return message


def reason(error):
    (detail,) = [value for key, value in error.trailing_metadata() if key.endswith("-bin")]
    return detail


def test_a_caller_opens_as_many_streams_as_it_may(server, channel):
    calls = [Call(channel, "few") for _ in range(2)]
    for call in calls:
        assert call.next().WhichOneof("message") == "opened"
    with pytest.raises(grpc.RpcError) as refused:
        Call(channel, "few").next()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"CALLER_STREAMS" in reason(refused.value)
    assert b"RetryInfo" in reason(refused.value)
    with pytest.raises(grpc.RpcError) as refused:
        stub = GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request(random(1)[0], start=True), metadata=bearer("few"))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # It holds up nobody else.
    assert Call(channel, "free").next().WhichOneof("message") == "opened"
    calls[0].say(None)
    assert [answer.WhichOneof("message") for answer in calls[0].answers] == ["closed"]
    assert Call(channel, "few").next().WhichOneof("message") == "opened"
    assert 'statewise_refused_calls_total{reason="CALLER_STREAMS"} 1.0' in metrics(server)
    assert 'statewise_refused_opens_total{reason="CALLER_STREAMS"} 1.0' in metrics(server)


def test_a_sequence_gives_its_place_back_however_it_ends(channel):
    stub, rows = GRPCInferenceServiceStub(channel), random(1)
    for sequence in range(1, 6):
        for flags in ({"start": True}, {"start": True}, {"end": True}):
            stub.ModelInfer(request(rows[0], sequence, **flags), metadata=bearer("few"))


def test_over_its_rate_a_chunk_is_refused_and_the_stream_lives_on(server, channel):
    call, inputs = Call(channel, "slow"), random(3)
    call.next()
    # The first is within the rate however long it is; the next would be 300 s later.
    call.say(chunk(1, inputs))
    assert call.next().WhichOneof("message") == "result"
    for _ in range(2):
        call.say(chunk(2, inputs))
        refused = call.next().refused
        assert (refused.reason, refused.expected_sequence) == ("CALLER_RATE", 2)
        assert 250_000 < int(refused.metadata["retry_after_ms"]) < 400_000
    call.say(None)
    assert call.next().closed.steps == 3
    stub = GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelInfer(request(inputs[0], start=True), metadata=bearer("slow"))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"CALLER_RATE" in reason(refused.value)
    stream = stub.ModelStreamInfer(iter([request(inputs[0], start=True)]), metadata=bearer("slow"))
    told = MessageToDict(next(stream).infer_response)["parameters"]
    assert told["statewise_reason"] == {"stringParam": "CALLER_RATE"}
    assert int(told["statewise_retry_after_ms"]["int64Param"]) > 250_000
    assert 'reason="CALLER_RATE",version="1"} 4.0' in metrics(server)


def test_a_sequence_of_the_same_name_is_another_caller_s_own(channel):
    stub, rows = GRPCInferenceServiceStub(channel), random(2, 4)

    def infer(row, name, **flags):
        answer = stub.ModelInfer(request(row, 7, **flags), metadata=bearer(name))
        return answer.raw_output_contents[0]

    alone = [infer(row, "free", start=not step, end=step == 3) for step, row in enumerate(rows[0])]
    mixed = []
    for step, (own, others) in enumerate(zip(*rows, strict=True)):
        mixed.append(infer(own, "free", start=not step, end=step == 3))
        infer(others, "few", start=not step, end=step == 3)
    assert mixed == alone
    with pytest.raises(grpc.RpcError) as refused:
        infer(rows[0, 0], "free")
    infer(rows[0, 0], "few", start=True)
    with pytest.raises(grpc.RpcError) as refused:
        infer(rows[0, 0], "free")
    assert b"SEQUENCE_NOT_STARTED" in reason(refused.value)


class NeverReads:
    """Sends what it is given and reads nothing, until it is asked to.

    Attributes:
        sent: messages that gRPC has taken from it.
    """

    def __init__(self, messages):
        self._messages = messages
        self._progress = threading.Semaphore(0)
        self.sent = 0

    def __iter__(self):
        for message in self._messages:
            self.sent += 1
            self._progress.release()
            yield message

    def stall(self):
        """Returns once nothing was taken for a while: all that waits on the way is full."""
        while self._progress.acquire(timeout=1.5):
            pass


def test_a_caller_that_never_reads_inferences_fills_no_memory(server, channel):
    rows, offered, size = random(300), 300, 1_000_000

    def messages():
        for number, row in enumerate(rows):
            message = request(row, 30, start=not number)
            # The answer bears it as well.
            message.id = f"{number:06}".ljust(size, ".")
            yield message

    before, sender = resident(server.process.pid), NeverReads(messages())
    stub = GRPCInferenceServiceStub(channel)
    answers = stub.ModelStreamInfer(iter(sender), metadata=bearer("free"), timeout=100)
    sender.stall()
    assert sender.sent < offered / 2
    assert resident(server.process.pid) - before < 120 * size
    assert [int(answer.infer_response.id[:6]) for answer in answers] == list(range(offered))


def test_a_caller_has_as_many_inference_streams_as_it_may_have_streams(channel):
    stub, done = GRPCInferenceServiceStub(channel), threading.Event()

    def requests():
        yield request(random(1)[0], 77)
        done.wait(30)

    def opened():
        call = stub.ModelStreamInfer(requests(), metadata=bearer("few"), timeout=30)
        assert "is not live" in next(call).error_message
        return call

    calls = [opened() for _ in range(2)]
    with pytest.raises(grpc.RpcError) as refused:
        opened()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"CALLER_STREAMS" in reason(refused.value)
    # Its streams are counted beside them.
    assert Call(channel, "few").next().WhichOneof("message") == "opened"
    done.set()
    assert [list(call) for call in calls] == [[], []]
    assert opened()
