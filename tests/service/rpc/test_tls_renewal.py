"""Certificates that are renewed under a server that runs: what is read when, and what is used."""

import contextlib
import logging
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from certificates import Authority
from known_callers import opened, secure, status, tls
from processes import serving

from service.errors import SettingsError
from service.rpc import tls as of_port
from service.settings import Settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def served_certificate(target):
    host, _, port = target.rpartition(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)), timeout=20))


def expected(pair):
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


def test_a_renewed_certificate_is_used_without_a_restart(model_path, authority, tmp_path):
    first, second = authority.issue("first"), authority.issue("second")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    first.put(certificate, key)
    key.chmod(0o600)

    words = ("--tls-cert", certificate, "--tls-key", key)
    with serving(model_path, *words) as server, secure(server, authority) as channel:
        assert opened(channel)
        assert served_certificate(server.target) == expected(first)
        # Half of a renewal: the old key beside the new certificate.
        certificate.write_bytes(second.certificate.read_bytes())
        for _ in range(3):
            assert served_certificate(server.target) == expected(first)
        key.write_bytes(second.key.read_bytes())
        assert served_certificate(server.target) == expected(second)
        key.write_text("rubbish")
        assert served_certificate(server.target) == expected(second)
        assert opened(channel)
        server.stop()
        log = server.log()
    assert log.count("the old certificate stays in use") == 2
    assert log.count("tls_cert was read again") == 1
    assert "key values mismatch" in log


def test_a_renewed_authority_of_callers_is_asked_without_a_restart(model_path, authority, tmp_path):
    after = Authority(tmp_path)
    asked = tmp_path / "asked.crt"
    asked.write_bytes(authority.certificate.read_bytes())
    words = (*tls(authority.issue("server")), "--tls-client-ca", asked)
    with serving(model_path, *words) as server:

        def outcome(pair):
            with secure(server, authority, pair) as channel:
                return opened(channel)[0]

        old, new = authority.issue("caller"), after.issue("caller")
        assert outcome(old) == "opened"
        assert status(outcome, new) == "UNAVAILABLE"
        asked.write_bytes(after.certificate.read_bytes())
        assert outcome(new) == "opened"
        assert status(outcome, old) == "UNAVAILABLE"


class Mount:
    """A folder of a pair that is exchanged at one stroke, as a mounted secret is."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._link = folder, folder / "now"
        self.certificate, self.key = self._link / "tls.crt", self._link / "tls.key"
        self.settings = Settings(Path("unused"), tls_cert=self.certificate, tls_key=self.key)

    def add(self, name, pair):
        """Puts a pair beside the others; its files are as old as theirs."""
        folder = self._folder / name
        folder.mkdir()
        pair.put(folder / "tls.crt", folder / "tls.key")
        for path in folder.iterdir():
            path.chmod(0o600)
            os.utime(path, (1, 1))

    def show(self, name):
        fresh = self._folder / "fresh"
        fresh.symlink_to(name)
        fresh.replace(self._link)


@pytest.fixture
def mount(tmp_path, authority):
    mount = Mount(tmp_path)
    for name in ("first", "second", "third"):
        mount.add(name, authority.issue(name))
    mount.show("first")
    return mount


@contextlib.contextmanager
def listening(settings):
    """The address of a port with these certificates."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", of_port.server_credentials(settings))
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def behind_the_key(monkeypatch):
    """Lets something happen once, between a key and its certificate being read."""
    happenings, read = [], of_port.read_private

    def read_key(setting, path):
        text = read(setting, path)
        for happen in happenings:
            happen()
        happenings.clear()
        return text

    monkeypatch.setattr(of_port, "read_private", read_key)
    return happenings.append


def test_a_pair_that_is_exchanged_while_it_is_read_is_not_started_with(mount, behind_the_key):
    behind_the_key(lambda: mount.show("second"))
    with pytest.raises(SettingsError, match="which is being written"):
        of_port.server_credentials(mount.settings)


def test_a_pair_that_is_exchanged_while_it_is_read_is_read_again(
    mount, authority, behind_the_key, caplog
):
    caplog.set_level(logging.WARNING)
    with listening(mount.settings) as target:
        mount.show("second")
        behind_the_key(lambda: mount.show("third"))
        assert served_certificate(target) == expected(authority.pair("first"))
        assert "which is being written" in caplog.text
        # It looks as it did before it was read, which says nothing of what was read.
        mount.show("second")
        assert served_certificate(target) == expected(authority.pair("second"))


def test_a_certificate_that_goes_while_it_is_read_leaves_the_old_one(
    mount, authority, behind_the_key, caplog
):
    with listening(mount.settings) as target:
        mount.show("second")
        behind_the_key(lambda: mount.certificate.unlink())
        assert served_certificate(target) == expected(authority.pair("first"))
        assert "can't be read: No such file" in caplog.text


def test_a_key_that_every_account_can_read_is_spoken_of(mount, caplog):
    mount.key.chmod(0o644)
    of_port.server_credentials(mount.settings)
    assert f"tls_key is {mount.key}, which every account can read" in caplog.text
