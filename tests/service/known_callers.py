"""A file of callers, and what callers of a server do, for tests."""

import secrets
from contextlib import contextmanager

import grpc
import pytest

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service.callers.token_file import hash_token

TOKENS = {name: secrets.token_hex(32) for name in ("user", "other", "admin", "both")}
CALLERS = f"""
[[caller]]
name = "user"
token_sha256 = "{hash_token(TOKENS["user"]).hex()}"

[[caller]]
name = "other"
token = "{TOKENS["other"]}"

[[caller]]
name = "admin"
token = "{TOKENS["admin"]}"
permissions = ["admin"]

[[caller]]
name = "both"
certificate = "machine"
token = "{TOKENS["both"]}"
permissions = ["stream", "admin"]
"""


def bearer(name):
    return (("authorization", f"Bearer {TOKENS[name]}"),)


def opened(channel, metadata=None):
    requests = iter([wire.ClientMessage(open=wire.Open(model="random"))])
    return [
        answer.WhichOneof("message")
        for answer in StreamServiceStub(channel).Stream(requests, metadata=metadata, timeout=20)
    ]


def status(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **named)
    return error.value.code().name


def write_callers(folder):
    """The file, as nobody else can read it."""
    path = folder / "callers.toml"
    path.touch(0o600)
    path.write_text(CALLERS)
    return path


@contextmanager
def secure(server, authority, pair=None):
    key, chain = (pair.key.read_bytes(), pair.certificate.read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, chain)
    with grpc.secure_channel(server.target, credentials) as channel:
        yield channel


def tls(pair):
    return ("--tls-cert", pair.certificate, "--tls-key", pair.key)
