"""The options of `serve` that say who may come in.

Owns their words. What they mean is in `settings`.
"""

import argparse
from pathlib import Path


def add_access(serve: argparse.ArgumentParser) -> None:
    """TLS, callers, keys and the limits of a caller."""
    access = serve.add_argument_group(
        "who may come in", "docs/security.md shows how to make the files."
    )
    files = {
        "--tls-cert": "PEM chain of the server's certificate",
        "--tls-key": "PEM key of the certificate",
        "--tls-client-ca": "PEM authorities; asks every caller for a certificate of theirs",
        "--token-file": "TOML file of callers, their tokens, permissions and limits",
        "--state-key-file": "keys that sign states, a line of hexadecimal digits each",
    }
    for option, text in files.items():
        access.add_argument(option, type=Path, metavar="FILE", help=text)
    access.add_argument(
        "--insecure-any-host",
        action="store_true",
        default=None,
        help="listen where other machines reach it, and ask nobody who he is",
    )
    access.add_argument("--metrics-host", metavar="HOST", help="address of the metrics (127.0.0.1)")
    access.add_argument(
        "--max-caller-streams", type=int, metavar="N", help="open streams of one caller (10000)"
    )
    access.add_argument(
        "--max-requests", type=int, metavar="N", help="inference requests under way (50000)"
    )
