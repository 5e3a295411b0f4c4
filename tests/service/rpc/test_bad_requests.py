"""What callers of the Open Inference Protocol get wrong, over the wire: its code and reason."""

import asyncio
import re
import urllib.request

import grpc
import numpy as np
import pytest
from foreign import rooting
from processes import serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1.status_pb2 import ErrorInfo, Status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# Requests of a sequence that nobody started, each with what it does wrong.
BAD = {
    "number-0": ({"sequence": 0, "start": True}, INVALID, "SEQUENCE_ID_MISSING"),
    "empty-text": ({"sequence": "", "start": True}, INVALID, "SEQUENCE_ID_MISSING"),
    "no-id": ({"start": True}, INVALID, "SEQUENCE_ID_MISSING"),
    "end-alone": ({"sequence": 90, "end": True}, INVALID, "SEQUENCE_NOT_STARTED"),
    "not-started": ({"sequence": "ninety"}, INVALID, "SEQUENCE_NOT_STARTED"),
    "batch-of-2": ({"sequence": 91, "start": True, "x": (1, 2)}, INVALID, "BATCH_SIZE"),
    "id-of-a-kind": ({"sequence": True, "start": True}, INVALID, "SEQUENCE_ID_KIND"),
    "nan-in": ({"sequence": 92, "start": True, "x": (np.nan,)}, INVALID, "NON_FINITE_INPUT"),
    "nan-out": (
        {"sequence": 93, "start": True, "x": (-1,)},
        grpc.StatusCode.DATA_LOSS,
        "MODEL_NOT_FINITE",
    ),
    "model": (
        {"sequence": 94, "start": True, "model": "none"},
        grpc.StatusCode.NOT_FOUND,
        "MODEL_NOT_FOUND",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(rooting(tmp_path_factory.mktemp("models") / "root")) as running:
        yield running


def request(sequence=None, x=(1,), start=False, end=False, model="root", mark=""):
    message = wire.ModelInferRequest(model_name=model, id=mark)
    if isinstance(sequence, bool):
        message.parameters["sequence_id"].bool_param = sequence
    elif isinstance(sequence, int):
        message.parameters["sequence_id"].int64_param = sequence
    elif sequence is not None:
        message.parameters["sequence_id"].string_param = sequence
    for name, value in (("sequence_start", start), ("sequence_end", end)):
        if value:
            message.parameters[name].bool_param = True
    message.inputs.add(name="x", datatype="FP32", shape=[len(x), 1])
    message.raw_input_contents.append(np.array(x, np.float32).tobytes())
    return message


def reason(error):
    """The reason in a refused call's details."""
    (data,) = [value for key, value in error.trailing_metadata() if key.endswith("details-bin")]
    return ErrorInfo.FromString(Status.FromString(data).details[0].value).reason


def number(reply):
    return np.frombuffer(reply.raw_output_contents[0], "<f4").tolist()


def counted(server, reason):
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        name = re.escape(f'statewise_refused_requests_total{{reason="{reason}"}} ')
        (value,) = re.findall(f"^{name}(.+)$", page.read().decode(), re.MULTILINE)
    return float(value)


@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_call_has_its_code_and_its_reason_and_is_counted(server, wrong):
    options, code, expected = BAD[wrong]
    before = counted(server, expected)
    with grpc.insecure_channel(server.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request(**options), timeout=30)
    assert refused.value.code() is code
    assert reason(refused.value) == expected
    assert "\n" not in refused.value.details()
    assert counted(server, expected) == before + 1


def test_bad_requests_on_a_stream_are_told_in_band_and_leave_the_others_alone(server):
    async def talk():
        async with grpc.aio.insecure_channel(server.target) as channel:
            call = GRPCInferenceServiceStub(channel).ModelStreamInfer()
            await call.write(request(1, (4,), start=True, mark="first"))
            for name, (options, _, _) in BAD.items():
                await call.write(request(**options, mark=name))
                await call.write(request(1, (0,), mark=f"after {name}"))
            # Its fault has ended it.
            await call.write(request(93, mark="ended"))
            await call.done_writing()
            return {reply.infer_response.id: reply async for reply in call}

    replies = asyncio.run(asyncio.wait_for(talk(), 60))
    assert len(replies) == 2 * len(BAD) + 2
    for name, (_, _, expected) in BAD.items():
        assert replies[name].error_message
        told = replies[name].infer_response.parameters["statewise_reason"].string_param
        assert told == expected
        assert number(replies[f"after {name}"].infer_response) == [2]
    ended = replies["ended"].infer_response.parameters["statewise_reason"].string_param
    assert ended == "SEQUENCE_NOT_STARTED"


def test_a_sequence_of_one_request_starts_and_ends_with_it(server):
    with grpc.insecure_channel(server.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request(7, (9,), start=True, end=True), timeout=30)
        assert number(answer) == [3]
        with pytest.raises(grpc.RpcError, match="set sequence_start"):
            stub.ModelInfer(request(7), timeout=30)


def of_long_words(kind, contents):
    """A request with something of it far longer than a status may be."""
    message, long = request(95, start=True), "ä" * 10_000
    (given,) = message.inputs
    if contents:
        message.ClearField("raw_input_contents")
    if kind == "inputs":
        message.inputs.extend([given] * 10_000)
        message.raw_input_contents.extend([b""] * (0 if contents else 10_000))
    elif kind == "shape":
        given.shape.extend([1] * 20_000)
    elif kind == "output":
        message.outputs.add(name=long)
    else:
        setattr(given, kind, long)
    return message


@pytest.mark.parametrize("contents", [False, True], ids=["raw", "contents"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("name", "INPUT_UNKNOWN"),
        ("datatype", "DTYPE"),
        ("shape", "SHAPE"),
        ("output", "OUTPUT_UNKNOWN"),
        ("inputs", "INPUT_MISSING"),
    ],
)
def test_what_is_long_is_not_said_again_at_length(server, kind, expected, contents):
    message = of_long_words(kind, contents)
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as refused:
        GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=30)
    assert refused.value.code() is INVALID
    assert len(refused.value.details()) < 400
    assert reason(refused.value) == expected
