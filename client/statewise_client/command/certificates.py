"""Whether the files that TLS needs are what they should be, seen before anything connects.

Owns two checks by the standard library's TLS; gRPC's own would come to nothing and not say why.
Knows nothing of servers, and so not whether one accepts the files.
"""

import ssl
from pathlib import Path

from statewise_client.errors import InputError


def check_ca(path: str, data: bytes) -> None:
    """Whether a file holds certificates that may have signed others.

    Raises:
        InputError: there is none in PEM.
    """
    try:
        # What stands between certificates in PEM may be any text.
        _context().load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise InputError(
            f"--ca {path}: it holds no certificate in PEM (-----BEGIN CERTIFICATE-----); give the "
            "CA's"
        ) from None


def check_pair(certificate: str, key: str) -> None:
    """Whether a key is that of a certificate.

    Files that can be read only once, such as pipes, are not looked at.

    Raises:
        InputError: it is not, or one of the files is no PEM, or the key asks for a password.
    """
    if not (Path(certificate).is_file() and Path(key).is_file()):
        return
    try:
        _context().load_cert_chain(certificate, key, password=_nobody_to_ask)
    except _PasswordWanted:
        raise InputError(f"--key {key}: it asks for a password; give it without one") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InputError(
                f"--key {key}: it does not fit --cert {certificate}; give the key of that "
                "certificate"
            ) from None
        raise InputError(
            f"--cert {certificate}, --key {key}: they hold no certificate and key in PEM; give "
            "both in PEM"
        ) from None


class _PasswordWanted(Exception):
    """A key that only a password opens."""


def _nobody_to_ask() -> str:
    raise _PasswordWanted


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whether a key is long enough is for the two sides to say.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context
