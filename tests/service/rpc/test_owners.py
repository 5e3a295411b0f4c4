"""A stream belongs to whoever opened it, and its states to those who hold the key."""

import secrets

import grpc
import numpy as np
import pytest
from processes import failed, serving

from protos.statewise.v1 import state_pb2 as states
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.state_pb2_grpc import StateServiceStub
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub

TOKENS = {name: secrets.token_hex(32) for name in ("one", "other", "operator")}
CALLERS = "\n".join(
    f'[[caller]]\nname = "{name}"\ntoken = "{token}"\npermissions = ["stream", "admin"]'.replace(
        ', "admin"', ', "admin"' if name == "operator" else ""
    )
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
    for name in ("other", "operator"):
        asked = options(name)
        assert refusal(stub.Export, states.ExportRequest(stream_id=kept), **asked) == "NOT_FOUND"
        assert refusal(stub.Close, states.CloseStreamRequest(stream_id=kept), **asked) == (
            "NOT_FOUND"
        )
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
        assert refusal(converse, channel, "one", opening) == "INVALID_ARGUMENT"


def test_a_file_without_a_key_fails_the_start(model_path, tmp_path):
    keys = write(tmp_path / "keys", "no key")
    repository = model_path.parent.parent.parent
    line = failed("--model-repository", repository, "--port", 0, "--state-key-file", keys)
    assert "whose line 1 is no key" in line
