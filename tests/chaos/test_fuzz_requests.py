"""Bytes that no client sends, to a server that runs: each has its answer, and it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from conversation import chunks_of
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import requests
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
