"""The command `statewise`: stream, score, state, health.

Owns the command line and its exit codes: 0; 1 where a server or the network fails; 2 for a mistake
of the caller's, or what a server refuses; 130 for Ctrl-C. None of them shows a traceback.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from statewise_client.command.console import Parser, with_output
from statewise_client.command.notes import told
from statewise_client.errors import ChunkRefused, InputError, StatewiseError, StreamRefused

_DESCRIPTION = "Streams recordings to a Statewise server, and keeps what their streams remember."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    try:
        options = _parser().parse_args(arguments)
        with told():
            code = with_output(lambda: options.run(options))
    except StatewiseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError | ChunkRefused | StreamRefused) else 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    # gRPC would log to stderr what the command itself tells in a line; it is asked not to when it
    # is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from statewise_client.command import health, score, state, stream

    # As the plain kind, which is what the commands take.
    parser: argparse.ArgumentParser = Parser(prog="statewise", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    stream.add_to(commands)
    score.add_to(commands)
    state.add_to(commands)
    health.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
