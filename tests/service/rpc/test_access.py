"""Who is let in by token, over the wire, and what each permission opens."""

import secrets

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from known_callers import CALLERS, TOKENS, bearer, opened, status, write_callers
from processes import serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from service.callers.token_file import hash_token
from service.rpc.probe import probe


@pytest.fixture(scope="module")
def callers(tmp_path_factory):
    return write_callers(tmp_path_factory.mktemp("callers"))


@pytest.fixture(scope="module")
def guarded(model_path, callers):
    with serving(model_path, "--token-file", callers) as server:
        yield server


@pytest.fixture(scope="module")
def channel(guarded):
    with grpc.insecure_channel(guarded.target) as channel:
        yield channel


def test_a_known_token_opens_a_stream(channel):
    assert opened(channel, bearer("user")) == ["opened", "closed"]
    assert opened(channel, (("authorization", f"bearer  {TOKENS['other']}"),))[0] == "opened"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", f"Basic {TOKENS['user']}"),),
        (("authorization", TOKENS["user"]),),
        (("authorization", f"Bearer {secrets.token_hex(32)}"),),
        (("authorization", f"Bearer {TOKENS['user']}x"),),
        (("authorization", f"Bearer {hash_token(TOKENS['user']).hex()}"),),
        (*bearer("user"), *bearer("other")),
        (("x-authorization", f"Bearer {TOKENS['user']}"),),
    ],
)
def test_nobody_else_is_let_in_nor_told_why(channel, metadata):
    with pytest.raises(grpc.RpcError) as error:
        opened(channel, metadata)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.value.details() == (
        "this server takes known callers only; send a valid token as `authorization: Bearer "
        "TOKEN`, or a certificate that it knows"
    )


def test_health_answers_everybody_and_reflection_does_not(guarded, channel):
    assert probe(guarded.target, 10) == "SERVING"
    assert status(ProtoReflectionDescriptorDatabase(channel).get_services) == "UNAUTHENTICATED"


def test_each_permission_opens_its_own_doors(channel):
    stub = GRPCInferenceServiceStub(channel)
    load = oip.RepositoryModelLoadRequest(model_name="random")
    unload = oip.RepositoryModelUnloadRequest(model_name="nobody")
    assert status(stub.RepositoryModelLoad, load, metadata=bearer("user")) == "PERMISSION_DENIED"
    assert status(stub.RepositoryModelUnload, unload, metadata=bearer("user")) == (
        "PERMISSION_DENIED"
    )
    assert status(stub.RepositoryModelLoad, load) == "UNAUTHENTICATED"
    stub.RepositoryModelLoad(load, metadata=bearer("admin"))
    assert status(stub.RepositoryModelUnload, unload, metadata=bearer("admin")) == "NOT_FOUND"
    assert status(opened, channel, bearer("admin")) == "PERMISSION_DENIED"
    for name in ("user", "admin"):
        assert stub.ServerReady(oip.ServerReadyRequest(), metadata=bearer(name)).ready


def test_every_method_is_behind_the_guard(channel):
    stub = GRPCInferenceServiceStub(channel)
    for method in oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        request = getattr(oip, method.input_type.name)()
        if method.client_streaming:
            assert status(lambda: next(stub.ModelStreamInfer(iter([])))) == "UNAUTHENTICATED"
        else:
            assert status(getattr(stub, method.name), request) == "UNAUTHENTICATED"


def test_a_changed_file_holds_from_the_next_call_on_and_a_broken_one_does_not(model_path, tmp_path):
    path = write_callers(tmp_path)
    with (
        serving(model_path, "--token-file", path) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        assert opened(channel, bearer("user"))
        renewed = secrets.token_hex(32)
        path.write_text(
            CALLERS.replace(hash_token(TOKENS["user"]).hex(), hash_token(renewed).hex())
        )
        assert status(opened, channel, bearer("user")) == "UNAUTHENTICATED"
        assert opened(channel, (("authorization", f"Bearer {renewed}"),))
        path.write_text("[[caller]\n" + TOKENS["other"])
        assert opened(channel, bearer("other"))
        path.unlink()
        assert opened(channel, bearer("other"))
        server.stop()
        log = server.log()
    assert log.count("the callers stay as they were") == 2
    assert "no TOML at line 1" in log
    assert not [token for token in (*TOKENS.values(), renewed) if token[:8] in log]


def test_workers_ask_who_calls_as_well(model_path, callers):
    with (
        serving(model_path, "--token-file", callers, "--workers", 2) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        assert opened(channel, bearer("user"))
        assert status(opened, channel) == "UNAUTHENTICATED"
