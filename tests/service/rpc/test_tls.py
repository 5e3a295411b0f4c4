"""Encryption and certificates, over the wire: who is let in, and with which files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from certificates import Authority
from known_callers import TOKENS, bearer, opened, secure, status, tls, write_callers
from processes import failed, serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub


@pytest.fixture(scope="module")
def callers(tmp_path_factory):
    return write_callers(tmp_path_factory.mktemp("callers"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_certificate_is_an_identity_of_its_own(model_path, authority):
    names = ("--tls-client-ca", authority.certificate)
    stub = oip.RepositoryModelLoadRequest(model_name="random")
    with serving(model_path, *tls(authority.issue("server")), *names) as server:
        with secure(server, authority, authority.issue("caller")) as channel:
            assert opened(channel)[0] == "opened"
            load = GRPCInferenceServiceStub(channel).RepositoryModelLoad
            assert status(load, stub) == "PERMISSION_DENIED"
        with secure(server, authority) as channel:
            assert status(opened, channel) == "UNAVAILABLE"
        with grpc.insecure_channel(server.target) as channel:
            assert status(opened, channel) == "UNAVAILABLE"


def test_a_stranger_s_certificate_is_refused_in_the_handshake(model_path, authority, tmp_path):
    names = ("--tls-client-ca", authority.certificate)
    stranger = Authority(tmp_path).issue("caller")
    with (
        serving(model_path, *tls(authority.issue("server")), *names) as server,
        secure(server, authority, stranger) as channel,
    ):
        assert status(opened, channel) == "UNAVAILABLE"


def test_the_file_says_what_a_certificate_may(model_path, authority, callers):
    words = ("--tls-client-ca", authority.certificate, "--token-file", callers)
    load = oip.RepositoryModelLoadRequest(model_name="random")
    with serving(model_path, *tls(authority.issue("server")), *words) as server:
        with secure(server, authority, authority.issue("machine")) as channel:
            GRPCInferenceServiceStub(channel).RepositoryModelLoad(load)
            # A token that is sent is what counts.
            assert status(opened, channel, bearer("admin")) == "PERMISSION_DENIED"
            bad = (("authorization", "Bearer nobody"),)
            assert status(opened, channel, bad) == "UNAUTHENTICATED"
        with secure(server, authority, authority.issue("unknown")) as channel:
            assert status(opened, channel) == "UNAUTHENTICATED"
            assert opened(channel, bearer("user"))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda pair: pair.key.write_text("no key"), "which can't be used together"),
        (lambda pair: pair.key.unlink(), "server.key, which can't be read: No such file"),
        (lambda pair: pair.certificate.unlink(), "which can't be read: No such file"),
        (lambda pair: pair.certificate.write_text(""), "can't be used together"),
    ],
)
def test_a_pair_that_cannot_be_used_fails_to_start(model_path, tmp_path, spoil, fault):
    pair = Authority(tmp_path).issue("server")
    spoil(pair)
    repository = model_path.parent.parent.parent
    assert fault in failed("--model-repository", repository, "--port", 0, *tls(pair))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(model_path, tmp_path):
    pair = Authority(tmp_path).issue("server", password="secret")
    repository = model_path.parent.parent.parent
    words = ("--model-repository", repository, "--port", 0, *tls(pair))
    assert "its key without a password" in failed(*words, typed="secret\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "can't be read: No such file"),
        ("", "has no certificates: no certificate or crl found"),
        ("no PEM", "has no certificates: no certificate"),
    ],
)
def test_an_authority_of_callers_that_is_none_fails_to_start(model_path, tmp_path, text, fault):
    authority = tmp_path / "callers.crt"
    if text is not None:
        authority.write_text(text)
    words = (*tls(Authority(tmp_path).issue("server")), "--tls-client-ca", authority)
    repository = model_path.parent.parent.parent
    error = failed("--model-repository", repository, "--port", 0, *words)
    assert f"tls_client_ca is {authority}, which {fault}" in error


def test_tritons_client_shows_a_certificate_and_a_token(model_path, authority, callers):
    words = ("--tls-client-ca", authority.certificate, "--token-file", callers)
    pair = authority.issue("triton")
    with serving(model_path, *tls(authority.issue("server")), *words) as server:
        files = map(str, (authority.certificate, pair.key, pair.certificate))
        script = str(Path(__file__).with_name("triton_secure.py"))
        done = subprocess.run(
            [sys.executable, script, server.target, *files, TOKENS["user"]],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ready": True,
        "shape": [1, 3],
        "without": "StatusCode.UNAUTHENTICATED",
        "load": "StatusCode.PERMISSION_DENIED",
    }


def test_health_asks_over_tls(model_path, authority, tmp_path):
    server_pair, own = authority.issue("server"), authority.issue("prober")
    names = ("--tls-client-ca", authority.certificate)

    def health(server, *words, **environment):
        port = server.target.rpartition(":")[2]
        command = [sys.executable, "-m", "service", "health", "--port", port, *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=os.environ | environment
        )
        # A certificate is no secret, so that nothing is said of who can read one.
        return done.stderr or done.stdout.strip()

    ca = ("--tls-ca", authority.certificate)
    with serving(model_path, *tls(server_pair)) as server:
        assert health(server, *ca) == "SERVING"
        assert health(server) == "UNAVAILABLE"
        assert health(server, *ca, "--tls-name", "elsewhere") == "UNAVAILABLE"
        # As in a container: of what the server itself was given.
        assert health(server, STATEWISE_TLS_CERT=str(server_pair.certificate)) == "SERVING"
    with serving(model_path, *tls(server_pair), *names) as server:
        assert health(server, *ca) == "UNAVAILABLE"
        shown = ("--tls-cert", own.certificate, "--tls-key", own.key)
        assert health(server, *ca, *shown) == "SERVING"
        assert "one is missing" in health(server, *ca, "--tls-key", own.key)
        given = {
            "STATEWISE_TLS_CERT": str(server_pair.certificate),
            "STATEWISE_TLS_KEY": str(server_pair.key),
            "STATEWISE_TLS_CLIENT_CA": str(authority.certificate),
        }
        assert health(server, **given) == "SERVING"


def test_call_credentials_of_grpc_carry_the_token(model_path, authority, callers):
    roots = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    token = grpc.access_token_call_credentials(TOKENS["user"])
    credentials = grpc.composite_channel_credentials(roots, token)
    with (
        serving(model_path, *tls(authority.issue("server")), "--token-file", callers) as server,
        grpc.secure_channel(server.target, credentials) as channel,
    ):
        assert opened(channel)
