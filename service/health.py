"""The command `python -m service health`: whether a running server serves.

Owns its words and its exit codes: 0 where the server serves, 1 where it does not.
"""

import argparse
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.private import read_private, read_public
from service.settings import Settings, address, from_environment, within

_HEALTH = """\
Exits 0 where the server at --port serves, 1 where it does not.

A server with TLS is asked with TLS: over --tls-ca, or where STATEWISE_TLS_CERT is set, as in a
container, over that certificate itself, which has to carry the name --host (or --tls-name). One
that asks for client certificates gets --tls-cert and --tls-key, or those of the environment.

example:
  python -m service health --port 8500
"""


def add_health(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    health = commands.add_parser(
        "health",
        help="ask a running server whether it serves",
        description=_HEALTH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    health.add_argument("--host", default="127.0.0.1", help="(127.0.0.1)")
    health.add_argument("--port", type=int, help="gRPC port (STATEWISE_PORT or 8500)")
    health.add_argument("--timeout", type=float, default=3.0, metavar="S", help="seconds (3)")
    files = {
        "--tls-ca": "PEM authorities of the server's certificate (STATEWISE_TLS_CERT)",
        "--tls-cert": "PEM chain to show, where the server asks for one (STATEWISE_TLS_CERT)",
        "--tls-key": "PEM key of it (STATEWISE_TLS_KEY)",
    }
    for option, text in files.items():
        health.add_argument(option, type=Path, metavar="FILE", help=text)
    health.add_argument("--tls-name", default="", help="name in the server's certificate (--host)")
    health.set_defaults(run=_health)


def _health(options: argparse.Namespace) -> int:
    from service.rpc.probe import probe

    environment = from_environment()
    given = options.port is not None
    port = options.port if given else int(str(environment.get("port", Settings.port)))
    within("port", port, 1, 65_535)
    within("timeout", options.timeout, 0.001, 3_600)
    status = probe(
        address(options.host, port), options.timeout, _tls(options, environment), options.tls_name
    )
    print(status)
    return 0 if status == "SERVING" else 1


def _tls(options: argparse.Namespace, environment: dict[str, Any]) -> "tuple[bytes, ...] | None":
    """Roots alone, or roots, key and chain; None for a port without TLS."""
    own = environment.get("tls_cert")
    roots = options.tls_ca or own
    if roots is None:
        return None
    chain, key = options.tls_cert, options.tls_key
    if (chain is None) != (key is None):
        raise SettingsError("of tls_cert and tls_key one is missing; give both, or neither")
    if chain is None and environment.get("tls_client_ca") is not None:
        chain, key = own, environment.get("tls_key")
    authorities = read_public("tls_ca", roots)
    if chain is None or key is None:
        return (authorities,)
    return authorities, read_private("tls_key", key).encode(), read_public("tls_cert", chain)
