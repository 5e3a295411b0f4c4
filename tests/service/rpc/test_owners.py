"""A stream belongs to whoever opened it, and its states to those who hold the key."""

import secrets
import threading
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from processes import failed, serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1 import state_pb2 as states
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import StateServiceStub
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

TOKENS = {name: secrets.token_hex(32) for name in ("one", "other", "operator", "keeper")}
PERMISSIONS = dict.fromkeys(TOKENS, '"stream"') | {
    "operator": '"stream", "admin"',
    "keeper": '"admin"',
}
CALLERS = "\n".join(
    f'[[caller]]\nname = "{name}"\ntoken = "{token}"\npermissions = [{PERMISSIONS[name]}]'
    for name, token in TOKENS.items()
)
KEYS = [secrets.token_hex(32) for _ in range(2)]


def write(path, text):
    path.touch(0o600)
    path.write_text(text)
    return path


def options(name):
    return {"metadata": (("authorization", f"Bearer {TOKENS[name]}"),), "timeout": 30}


@pytest.fixture(scope="module")
def server(model_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("owners")
    callers, keys = write(folder / "callers.toml", CALLERS), write(folder / "keys", KEYS[0])
    with serving(model_path, "--token-file", callers, "--state-key-file", keys) as server:
        yield server
        server.stop()
        log = server.log()
    assert " INFO " in log
    assert not [secret for secret in (*TOKENS.values(), *KEYS) if secret[:8] in log]


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture(scope="module")
def kept(channel):
    """A stream of one caller, of one step, that is kept."""
    row = np.random.default_rng(8).normal(size=(1, 5)).astype(np.float32)
    chunk = wire.Chunk(
        sequence=1, dtype=wire.DATA_TYPE_FLOAT32, steps=1, features=5, data=row.tobytes()
    )
    said = converse(channel, "one", wire.Open(model="random", stream_id="mine"), chunk)
    assert [answer.WhichOneof("message") for answer in said] == ["opened", "result", "closed"]
    return "mine"


def converse(channel, name, opening, *chunks):
    messages = [wire.ClientMessage(open=opening)]
    messages += [wire.ClientMessage(chunk=chunk) for chunk in chunks]
    return list(StreamServiceStub(channel).Stream(iter(messages), **options(name)))


def refusal(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **named)
    return error.value.code().name


def test_nobody_else_finds_a_stream(channel, kept):
    stub = StateServiceStub(channel)
    resumed = wire.Open(stream_id=kept, resume=wire.Resume())
    other = options("other")
    assert refusal(stub.Export, states.ExportRequest(stream_id=kept), **other) == "NOT_FOUND"
    assert refusal(stub.Close, states.CloseStreamRequest(stream_id=kept), **other) == "NOT_FOUND"
    for name in ("other", "operator"):
        asked = options(name)
        fork = states.ForkRequest(stream_id=kept, new_stream_id=f"{name}'s")
        assert refusal(stub.Fork, fork, **asked) == "NOT_FOUND"
        assert refusal(converse, channel, name, resumed) == "NOT_FOUND"
    assert stub.Export(states.ExportRequest(stream_id=kept), **options("one")).stream.steps == 1
    assert converse(channel, "one", resumed)[0].opened.resumed


def test_the_streams_of_others_are_listed_for_an_administrator(channel, kept):
    stub = StateServiceStub(channel)

    def listed(name, *, every=False):
        answer = stub.List(states.ListRequest(all_owners=every), **options(name))
        return {(one.stream_id, one.owner) for one in answer.streams}

    assert (kept, "one") in listed("one")
    assert listed("other") == listed("operator") == set()
    assert (kept, "one") in listed("operator", every=True)
    everything = states.ListRequest(all_owners=True)
    assert refusal(stub.List, everything, **options("one")) == "PERMISSION_DENIED"


@contextmanager
def begun(channel, name, **opening):
    """An open call, past `Opened`, whose requests have no end."""
    over = threading.Event()

    def requests():
        yield wire.ClientMessage(open=wire.Open(**opening))
        over.wait()

    call = StreamServiceStub(channel).Stream(requests(), **options(name))
    assert next(call).opened
    yield call
    over.set()


@pytest.mark.parametrize("name", ["operator", "keeper"])
@pytest.mark.parametrize("ephemeral", [False, True])
def test_an_administrator_exports_and_closes_the_streams_of_others(channel, name, ephemeral):
    stub, stream_id = StateServiceStub(channel), f"leaked to {name} {ephemeral}"
    opening = {"model": "random", "stream_id": stream_id, "ephemeral": ephemeral}
    with begun(channel, "one", **opening) as call:
        every = stub.List(states.ListRequest(all_owners=True), **options(name)).streams
        assert (stream_id, "one", True) in {(one.stream_id, one.owner, one.live) for one in every}
        exported = stub.Export(states.ExportRequest(stream_id=stream_id), **options(name))
        assert exported.stream.owner == "one"
        stub.Close(states.CloseStreamRequest(stream_id=stream_id), **options(name))
        with pytest.raises(grpc.RpcError, match="was closed by an administrator"):
            next(call)


def test_a_sequence_of_another_is_closed_by_its_stream_id(channel):
    def step(**sequence):
        tensor = oip.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[1, 5])
        row = np.random.default_rng(9).normal(size=(1, 5)).astype(np.float32)
        request = oip.ModelInferRequest(
            model_name="random", inputs=[tensor], raw_input_contents=[row.tobytes()]
        )
        request.parameters["sequence_id"].int64_param = 77
        for name, value in sequence.items():
            request.parameters[name].bool_param = value
        return GRPCInferenceServiceStub(channel).ModelInfer(request, **options("one"))

    step(sequence_start=True)
    stub = StateServiceStub(channel)
    own = stub.List(states.ListRequest(), **options("one")).streams
    (stream_id,) = [one.stream_id for one in own if one.live]
    stub.Close(states.CloseStreamRequest(stream_id=stream_id), **options("keeper"))
    with pytest.raises(grpc.RpcError, match="was closed by an administrator"):
        step()


def test_states_are_signed_and_imported_by_an_administrator(channel, kept):
    stub = StateServiceStub(channel)
    state = stub.Export(states.ExportRequest(stream_id=kept), **options("one")).state
    given = states.ImportRequest(stream_id="copy", state=state)
    assert refusal(stub.Import, given, **options("one")) == "PERMISSION_DENIED"
    assert stub.Import(given, **options("operator")).stream.owner == "operator"
    changed = state[:-1] + bytes([state[-1] ^ 1])
    unsigned = state[:44] + bytes(32) + state[76:]
    for bad in (changed, unsigned):
        again = states.ImportRequest(stream_id="bad", state=bad)
        assert refusal(stub.Import, again, **options("operator")) == "INVALID_ARGUMENT"
        opening = wire.Open(model="random", initial_state=bad)
        assert refusal(converse, channel, "operator", opening) == "INVALID_ARGUMENT"


def test_a_state_that_a_stream_begins_with_is_an_import_too(channel, kept):
    stub = StateServiceStub(channel)
    state = stub.Export(states.ExportRequest(stream_id=kept), **options("one")).state
    anew = {"stream_id": "by state", "resume": wire.Resume(replay_from=1)}
    for fields in ({}, {"ephemeral": True}, anew):
        opening = wire.Open(model="random", initial_state=state, **fields)
        assert refusal(converse, channel, "one", opening) == "PERMISSION_DENIED"
        opened = converse(channel, "operator", opening)[0].opened
        assert opened.steps == 1
    # A stream's owner needs no permission to go on twice from where it stands.
    fork = states.ForkRequest(stream_id=kept, new_stream_id="forked")
    assert stub.Fork(fork, **options("one")).stream.steps == 1


def test_a_file_without_a_key_fails_the_start(model_path, tmp_path):
    keys = write(tmp_path / "keys", "no key")
    repository = model_path.parent.parent.parent
    line = failed("--model-repository", repository, "--port", 0, "--state-key-file", keys)
    assert "whose line 1 is no key" in line
