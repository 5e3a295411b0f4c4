"""The Redis store over TLS: whom it trusts, and whom it does not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from redis_server import RedisServer
from storage import a_record

from service.errors import SettingsError
from service.stores.opening import open_store

MOST_BYTES = 1024**3
# The certificate is for 127.0.0.1 and localhost.
ANOTHER_HOST = "127.0.0.2"


class Secure:
    """A Redis that speaks TLS, to callers with a certificate of its authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.caller = self.authority.issue("statewise")
        own = self.authority.issue("redis")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = RedisServer(
            folder,
            *("--tls-port", str(self.port), "--bind", "127.0.0.1", ANOTHER_HOST),
            *("--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.key)),
            *("--tls-ca-cert-file", str(self.authority.certificate)),
        )

    def url(self, host: str = "127.0.0.1", **files: Path) -> str:
        given = {"ssl_ca_certs": self.authority.certificate}
        given |= {"ssl_certfile": self.caller.certificate, "ssl_keyfile": self.caller.key} | files
        words = "&".join(f"{name}={path}" for name, path in given.items() if path != Path())
        return f"rediss://:hush@{host}:{self.port}/0?{words}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    one = Secure(tmp_path_factory.mktemp("redis"))
    one.server.ask("CONFIG", "SET", "requirepass", "hush")
    yield one
    one.server.kill()


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_states_are_kept_over_tls(secure: Secure) -> None:
    store = open_store(secure.url(), MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    assert await store.write([a_record("s", b"\x00\xff state", epoch)]) == [True]
    kept = await store.read("s")
    assert kept is not None
    assert kept.payload == b"\x00\xff state"
    await store.close()


def refused(url: str) -> str:
    with pytest.raises(SettingsError) as error:
        open_store(url, MOST_BYTES)
    message: str = error.value.message
    assert message.startswith("state_store rediss://127.0.0.")
    assert "hush" not in message
    assert "\n" not in message
    return message


def test_a_redis_of_another_authority_is_refused(secure: Secure, stranger: Authority) -> None:
    assert "certificate verify failed" in refused(secure.url(ssl_ca_certs=stranger.certificate))


def test_without_an_authority_the_system_s_are_asked(secure: Secure) -> None:
    assert "certificate verify failed" in refused(secure.url(ssl_ca_certs=Path()))


def test_a_certificate_for_another_host_is_refused(secure: Secure) -> None:
    assert "certificate verify failed" in refused(secure.url(ANOTHER_HOST))


def test_a_caller_without_a_certificate_of_its_own_is_refused(
    secure: Secure, stranger: Authority
) -> None:
    refused(secure.url(ssl_certfile=Path(), ssl_keyfile=Path()))
    other = stranger.issue("stranger")
    refused(secure.url(ssl_certfile=other.certificate, ssl_keyfile=other.key))


def test_what_is_misspelt_or_missing_is_one_line(secure: Secure) -> None:
    assert "has the option 'ssl_ca' behind its ?, which" in refused(secure.url(ssl_ca=Path("x")))
    assert "No such file" in refused(secure.url(ssl_ca_certs=Path("/nowhere/ca.crt")))


def test_a_redis_that_speaks_tls_alone_is_not_spoken_to_in_the_clear(secure: Secure) -> None:
    with pytest.raises(SettingsError, match="can't be used"):
        open_store(f"redis://:hush@127.0.0.1:{secure.port}/0", MOST_BYTES)
