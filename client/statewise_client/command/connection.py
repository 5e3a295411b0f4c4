"""The options by which a command finds its servers and says who it is.

Owns their reading, from the command line and the environment: a secret is read from a file, and
never from the command line, which every user of the machine can see.
"""

import argparse
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import grpc

from statewise_client.blocking import Client
from statewise_client.command import certificates
from statewise_client.errors import InputError
from statewise_client.reconnect import RESUME_SECONDS

_log = logging.getLogger(__name__)
_DEFAULT_TARGET = "localhost:8500"
_FILES = {
    "token_file": ("STATEWISE_TOKEN_FILE", "holds the token that says who you are"),
    "ca": ("STATEWISE_CA", "certificates of who may have signed the server's; switches TLS on"),
    "cert": ("STATEWISE_CERT", "your own certificate, for servers that ask for one"),
    "key": ("STATEWISE_KEY", "its private key"),
}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the options to a command."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--target",
        action="append",
        metavar="HOST:PORT",
        help=f"({_DEFAULT_TARGET}); several times for servers that share their streams",
    )
    for name, (variable, meaning) in _FILES.items():
        group.add_argument(
            f"--{name.replace('_', '-')}", metavar="FILE", help=f"{meaning} (${variable})"
        )


def targets(options: argparse.Namespace) -> list[str]:
    """The servers that were named, or the one on this machine."""
    return options.target or [_DEFAULT_TARGET]


def client(options: argparse.Namespace, resume_timeout: float = RESUME_SECONDS) -> Client:
    """A client as the options say.

    Raises:
        InputError: a file can't be read, or the options don't go together.
    """
    return Client(
        targets(options),
        credentials=credentials(options),
        token=token(options),
        resume_timeout=resume_timeout,
    )


def token(options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> str:
    """The token that a file holds; empty where none is named.

    Raises:
        InputError: it can't be read, or is empty.
    """
    data = _content("token_file", options, environment)
    if data is None:
        return ""
    path = _path("token_file", options, environment)
    if Path(path).stat().st_mode & stat.S_IROTH:
        _log.warning("--token-file %s: every account can read it; chmod o-r it", path)
    try:
        found = data.decode().strip()
    except UnicodeDecodeError:
        found = ""
    if not found:
        raise InputError("--token-file holds no token; write it there, on one line")
    return found


def credentials(
    options: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> grpc.ChannelCredentials | None:
    """What TLS needs; None without --ca.

    Raises:
        InputError: a file can't be read, or one is missing.
    """
    ca, cert, key = (_content(name, options, environment) for name in ("ca", "cert", "key"))
    if (cert is None) != (key is None):
        raise InputError("--cert and --key belong together; give both, or neither")
    if ca is None and cert is not None:
        raise InputError("--cert needs --ca: without TLS nobody asks for it; name the file")
    if ca is None:
        return None
    certificates.check_ca(_path("ca", options, environment), ca)
    if cert is not None:
        certificates.check_pair(
            _path("cert", options, environment), _path("key", options, environment)
        )
    return grpc.ssl_channel_credentials(ca, key, cert)


def _path(name: str, options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    return getattr(options, name) or environment.get(_FILES[name][0]) or ""


def _content(
    name: str, options: argparse.Namespace, environment: Mapping[str, str]
) -> bytes | None:
    path = _path(name, options, environment)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        option = name.replace("_", "-")
        raise InputError(f"--{option} {path}: it can't be read: {error.strerror}") from None
