"""Certificates for tests, made by OpenSSL's own command."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path

    def put(self, certificate: Path, key: Path) -> None:
        """Writes both where a server reads them, as a renewal does."""
        for source, target in ((self.certificate, certificate), (self.key, key)):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            fresh.replace(target)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate, self.key = folder / "ca.crt", folder / "ca.key"
        subject = ("-subj", "/CN=authority", "-keyout", self.key, "-out", self.certificate)
        _openssl("req", "-x509", "-days", 1, *_NEW_KEY, "-nodes", *subject)

    def pair(self, name: str) -> Pair:
        """Where the certificate of a name and its key are."""
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def issue(self, name: str, password: str | None = None) -> Pair:
        """A certificate for this machine, in somebody's name."""
        pair = self.pair(name)
        names = f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1"
        signer = ("-CA", self.certificate, "-CAkey", self.key)
        made = ("-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair.certificate)
        secrecy = ("-nodes",) if password is None else ("-passout", f"pass:{password}")
        _openssl("req", "-x509", "-days", 1, *_NEW_KEY, *secrecy, *signer, *made, "-addext", names)
        return pair

    def expire(self, name: str) -> Pair:
        """The certificate of a name, and its key, with a date that is over."""
        pair, now_over = self.pair(name), self.pair(f"{name}-over")
        renewed = ("-x509toreq", "-copy_extensions", "copyall", "-signkey", pair.key)
        request = self._folder / f"{name}.csr"
        _openssl("x509", "-in", pair.certificate, *renewed, "-out", request)
        signer = ("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial")
        dated = ("-days", -1, "-copy_extensions", "copyall", "-out", now_over.certificate)
        _openssl("x509", "-req", "-in", request, *signer, *dated)
        now_over.key.write_bytes(pair.key.read_bytes())
        return now_over


def need_openssl() -> None:
    """Skips where OpenSSL's command is missing; in CI it has to be there."""
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("openssl is not here: apt-get install openssl")


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _openssl(*words: object) -> None:
    need_openssl()
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
