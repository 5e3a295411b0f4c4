"""What a caller is told where TLS goes wrong: by real certificates, and a real handshake."""

import os

import grpc
import pytest
from certificates import Authority, Pair
from statewise_client.__main__ import main
from statewise_client.errors import ConnectionFailed
from statewise_client.handshake import refused_connection


@pytest.fixture
def secured(serve, authority):
    """Starts a server with a certificate; it may ask for its callers'."""

    def start(pair=None, *, asks=False):
        pair = pair or authority.issue("server")
        own = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        ca = authority.certificate.read_bytes() if asks else None
        return serve(grpc.ssl_server_credentials(own, ca, require_client_auth=asks)).target

    return start


@pytest.fixture
def other(tmp_path):
    """An authority that nobody trusts."""
    (tmp_path / "other").mkdir()
    return Authority(tmp_path / "other")


@pytest.fixture
def told(capsys):
    """Asks for the streams of a server; gives exit code and the line on stderr."""

    def ask(target, ca=None, pair=None):
        words = [] if ca is None else ["--ca", ca.certificate]
        words += [] if pair is None else ["--cert", pair.certificate, "--key", pair.key]
        code = main(["state", "list", "--target", target, *map(str, words)])
        (line,) = capsys.readouterr().err.splitlines() or [""]
        assert "start one there" not in line
        return code, line

    return ask


def test_a_certificate_of_another_authority_is_told(secured, other, told):
    code, line = told(secured(), other)
    assert code == 1
    assert "is refused over TLS: the server's certificate is not accepted: unable to get " in line
    assert "give the CA that signed it (--ca)" in line


def test_a_server_s_certificate_that_is_over_is_told(secured, authority, told):
    authority.issue("server")
    code, line = told(secured(authority.expire("server")), authority)
    assert code == 1
    assert "is not accepted: certificate has expired; " in line


def test_a_name_that_the_certificate_does_not_bear_is_told(secured, authority, told):
    nameless = Pair(authority.certificate, authority.key)
    code, line = told(secured(nameless), authority)
    assert code == 1
    assert "its certificate is in another name; call the server by that one" in line


def test_a_server_without_tls_is_told(serve, authority, told):
    code, line = told(serve().target, authority)
    assert code == 1
    assert "the server there speaks without it; leave the CA (--ca) out" in line


ENDED = "but it ended the connection: it wants TLS (--ca), or a client certificate"


def test_a_server_that_wants_tls_is_told(secured, told):
    code, line = told(secured())
    assert code == 1
    assert ENDED in line


@pytest.mark.parametrize("kind", ["missing", "over", "foreign"])
def test_a_client_certificate_that_is_not_accepted_is_told(secured, authority, other, told, kind):
    own = authority.issue("ward-7")
    pair = {"missing": lambda: None, "over": lambda: authority.expire("ward-7")}.get(
        kind, lambda: other.issue("ward-7")
    )()
    target = secured(asks=True)
    code, line = told(target, authority, pair)
    assert code == 1
    assert ENDED in line
    # The server is as it should be.
    assert told(target, authority, own) == (0, "")


def test_files_that_tls_cannot_use_are_told_before_anything_connects(
    authority, other, told, write, capsys
):
    own, foreign = authority.issue("ward-7"), other.issue("ward-8")
    locked = authority.issue("ward-9", password="secret")
    text = write("text", "no certificate at all")
    nowhere, ca = "127.0.0.1:1", str(authority.certificate)
    for words, message in (
        (["--ca", own.key], f"--ca {own.key}: it holds no certificate in PEM"),
        (["--ca", text], f"--ca {text}: it holds no certificate in PEM"),
        (["--ca", ca, "--cert", own.certificate, "--key", foreign.key], "it does not fit --cert "),
        (["--ca", ca, "--cert", text, "--key", own.key], "they hold no certificate and key"),
        (["--ca", ca, "--cert", locked.certificate, "--key", locked.key], "asks for a password"),
    ):
        assert main(["state", "list", "--target", nowhere, *map(str, words)]) == 2
        assert message in capsys.readouterr().err


def test_words_around_a_certificate_are_no_mistake(secured, authority, told):
    data = authority.certificate.read_bytes()
    authority.certificate.write_bytes("# Müller's authority\n".encode() + data)
    assert told(secured(), authority) == (0, "")


def test_a_key_from_a_pipe_is_read_once(secured, authority):
    own = authority.issue("ward-7")
    target = secured(asks=True)
    reading, writing = os.pipe()
    os.write(writing, own.key.read_bytes())
    os.close(writing)
    words = ["--ca", authority.certificate, "--cert", own.certificate, "--key"]
    words = [*map(str, words), f"/dev/fd/{reading}"]
    try:
        assert main(["state", "list", "--target", target, *words]) == 0
    finally:
        os.close(reading)


def test_health_tells_it_too(secured, other, capsys):
    assert main(["health", "--target", secured(), "--ca", str(other.certificate)]) == 1
    assert "the server's certificate is not accepted" in capsys.readouterr().err


async def test_from_python_it_is_a_failed_connection(secured, other, connect):
    target = secured()
    for ca, message in (
        (other.certificate.read_bytes(), "the server's certificate is not accepted"),
        (b"no certificate", "refused over TLS: the files can't be used"),
    ):
        credentials = grpc.ssl_channel_credentials(ca)
        async with connect(target, credentials=credentials) as client:
            with pytest.raises(ConnectionFailed, match=message):
                async with client.open("sum"):
                    pass


def test_what_says_nothing_of_a_server_is_left_to_others():
    assert refused_connection("a:1", "Failed to connect to remote host: Connection refused") is None
    unknown = refused_connection("a:1", "Tls handshake failed (TSI_INTERNAL_ERROR)")
    assert unknown is not None
    assert "is refused over TLS: Tls handshake failed" in unknown
