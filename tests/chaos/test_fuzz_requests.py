"""Bytes that no client sends, to a server that runs: each has its answer, and it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest
from conversation import chunks_of
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import altered, damaged, requests
from processes import resident
from replicas import Replica, replicas
from scale import SCALE
from statewise_client.blocking import Client

from protos.inference import service_pb2
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1 import state_pb2, stream_pb2

SERVICES = [
    service
    for file in (stream_pb2, state_pb2, service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = {method.full_name: method for service in SERVICES for method in service.methods}
# Behind a server's fault, or a bug of its, stands one of these.
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
# Those of which a valid request is made, and changed a little.
VALID = ("Stream", "Import", "Export", "Fork", "ModelInfer", "ModelStreamInfer")
MOST_DETAILS = 2_000
MOST_GROWTH = 400 * 1024 * 1024


@pytest.fixture(scope="module")
def server(model_path, tmp_path_factory) -> Iterator[Replica]:
    """A server with few places, each of whose streams ends soon."""
    store = f"sqlite:{tmp_path_factory.mktemp('store')}/states.db"
    with replicas(model_path, "--state-store", store, "--state-seconds", 5) as (one,):
        yield one


def ask(channel: grpc.Channel, method: MethodDescriptor, sent: list[bytes]) -> grpc.RpcError | None:
    """What a call ends with."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            for _ in channel.stream_stream(path)(iter(sent), timeout=60):
                pass
        else:
            channel.unary_unary(path)(sent[0], timeout=60)
    except grpc.RpcError as error:
        return error
    return None


@contextmanager
def goes_on(server: Replica) -> Iterator[None]:
    """What runs within costs the server no more than some memory."""
    with Client(server.target) as client, client.open("random") as stream:
        expected = [stream.push(chunk).tobytes() for chunk in chunks_of(1, 3)]
    before = resident(server.pid)
    yield
    with grpc.insecure_channel(server.target) as channel:
        # It may have been unloaded.
        again = service_pb2.RepositoryModelLoadRequest(model_name="random")
        GRPCInferenceServiceStub(channel).RepositoryModelLoad(again, timeout=60)
    with Client(server.target) as client, client.open("random") as stream:
        assert [stream.push(chunk).tobytes() for chunk in chunks_of(1, 3)] == expected
    assert resident(server.pid) < before + MOST_GROWTH


def valid(blob: bytes) -> dict[str, list[Message]]:
    """What a client sends that knows what it does, by method; `blob` is of the model's."""
    chunks = [
        stream_pb2.ClientMessage(
            chunk=stream_pb2.Chunk(
                sequence=number,
                dtype=stream_pb2.DATA_TYPE_FLOAT32,
                steps=len(chunk),
                features=chunk.shape[1],
                data=chunk.tobytes(),
            )
        )
        for number, chunk in enumerate(chunks_of(2, 3), start=1)
    ]
    opens = stream_pb2.ClientMessage(open=stream_pb2.Open(model="random", ephemeral=True))
    closes = stream_pb2.ClientMessage(close=stream_pb2.Close(return_state=True))
    step = chunks_of(2, 1)[0][:1]
    infer = service_pb2.ModelInferRequest(model_name="random", raw_input_contents=[step.tobytes()])
    infer.inputs.add(name="input", datatype="FP32", shape=[1, step.shape[1]])
    infer.parameters["sequence_id"].int64_param = 7
    infer.parameters["sequence_start"].bool_param = True
    infer.outputs.add(name="output")
    return {
        "Stream": [opens, *chunks, closes],
        "Import": [state_pb2.ImportRequest(stream_id="pump", state=blob, replace=True)],
        "Export": [state_pb2.ExportRequest(stream_id="fuzzed")],
        "Fork": [state_pb2.ForkRequest(stream_id="fuzzed")],
        "ModelInfer": [infer],
        "ModelStreamInfer": [infer, infer],
    }


@pytest.mark.parametrize(
    "name", ["Stream", "Import", "Export", "Fork", "ModelInfer", "ModelStreamInfer"]
)
def test_what_is_valid_but_for_a_little_is_answered_and_the_server_goes_on(server, name):
    (method,) = (one for one in METHODS.values() if one.name == name)
    with (
        suppress(ZeroDivisionError),
        Client(server.target) as client,
        client.open("random", stream_id="fuzzed", replace=True) as stream,
    ):
        stream.push(chunks_of(3, 1)[0])
        messages = valid(client.export_state("fuzzed"))[name]
        raise ZeroDivisionError
    whole = [one.SerializeToString() for one in messages]

    @settings(max_examples=SCALE.examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        sent, place = list(whole), data.draw(st.integers(0, len(whole) - 1))
        changed = altered(messages[place]).map(lambda one: one.SerializeToString())
        sent[place] = data.draw(st.one_of(changed, damaged(whole[place])))
        error = ask(channel, method, sent)
        if error is not None:
            assert error.code() not in FAULTS, error
            assert len(error.details()) < MOST_DETAILS

    with goes_on(server), grpc.insecure_channel(server.target) as channel:
        # As it is it is taken.
        assert ask(channel, method, whole) is None
        fuzz()


@pytest.mark.parametrize("name", METHODS)
def test_whatever_is_sent_is_answered_and_the_server_goes_on(server, name):
    method = METHODS[name]

    @settings(max_examples=SCALE.examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sent=st.lists(requests(method.input_type), min_size=1, max_size=4))
    def fuzz(sent: list[bytes]) -> None:
        error = ask(channel, method, sent)
        if error is not None:
            assert error.code() not in FAULTS, error
            assert len(error.details()) < MOST_DETAILS

    with goes_on(server), grpc.insecure_channel(server.target) as channel:
        fuzz()
