"""Certificates of the gRPC port: encryption, and who calls by certificate.

Owns the PEM files. They are looked at in every handshake and read again when they change, so that
a renewal needs no restart. Files that can't be used, or are half-written, leave the old certificate
in use, and the log says so once.
"""

import logging
import ssl
from pathlib import Path

import grpc

from service.errors import SettingsError
from service.private import Look, look_at, read_private, read_public
from service.settings import Settings

_log = logging.getLogger(__name__)


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What the port is opened with; None for one that speaks in the clear.

    Raises:
        SettingsError: the files can't be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    files = _Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(
        # None, for nothing new, is missing in the published types.
        files.load(),
        files.renewed,  # type: ignore[arg-type]
        settings.tls_client_ca is not None,
    )


class _Certificates:
    """The PEM files of one port."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._seen: list[Look | None] = []

    def load(self) -> grpc.ServerCertificateConfiguration:
        """Reads and checks the files.

        Raises:
            SettingsError: they can't be used, or were changed meanwhile.
        """
        self._seen = self._look()
        key = read_private("tls_key", self._key).encode()
        chain = read_public("tls_cert", self._certificate)
        ca = self._client_ca
        roots = None if ca is None else read_public("tls_client_ca", ca)
        self._check()
        if self._look() != self._seen:
            self._seen = []
            raise SettingsError(f"tls_cert is {self._certificate}, which is being written")
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What is new since the last handshake; None for nothing. Called on gRPC's threads."""
        if self._look() == self._seen:
            return None
        try:
            configuration = self.load()
        except SettingsError as error:
            _log.warning("the old certificate stays in use: %s", error.message)
            return None
        _log.info("tls_cert was read again")
        return configuration

    def _look(self) -> list[Look | None]:
        files = [self._certificate, self._key, self._client_ca]
        return [look_at(path) for path in files if path is not None]

    def _check(self) -> None:
        """Whether the key is the certificate's; gRPC would only find out in handshakes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without the password's function, OpenSSL would ask at the terminal.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"tls_cert is {self._certificate} and tls_key {self._key}, which can't be used "
                f"together: {_why(error)}; give a PEM chain and its key without a password"
            ) from None
        if self._client_ca is None:
            return
        try:
            context.load_verify_locations(self._client_ca)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"tls_client_ca is {self._client_ca}, which has no certificates: {_why(error)}"
            ) from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
