"""The command `python -m service`: serve, score, state, inspect, health.

Owns the command line (that of each larger command is its own): its words, its exit codes (0; 1
where a server or a score fails; 2 for a mistake in the command), and that a mistake never shows a
traceback.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from service import logs, tracing
from service.console import Parser, with_output
from service.errors import ServiceError, UserError
from service.health import add_health
from service.offline import command as score
from service.offline import state_command
from service.serve_arguments import add_serve
from service.settings import Settings, from_environment

_log = logging.getLogger(__name__)
_SERVICE = """\
Runs exported models: for live streams, each with a state of its own, and over files of history.

example:
  python -m service serve --model-repository models/ --port 8500
"""
_INSPECT = """\
Looks at a model by others and prints a config.pbtxt to review.

Which tensors carry state is a guess from names, types and shapes: notes are comments of the file.
Save it beside the version folder, as models/<name>/config.pbtxt.

example:
  python -m service inspect models/vad/1/model.onnx > models/vad/config.pbtxt
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    logs.configure()
    try:
        options = _parser().parse_args(arguments)
        code = with_output(lambda: options.run(options))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="python -m service",
        description=_SERVICE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve(commands, _serve)
    score.add_to(commands)
    state_command.add_to(commands)
    _add_inspect(commands)
    add_health(commands)
    return parser


def _add_inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    inspect = commands.add_parser(
        "inspect",
        help="propose a config.pbtxt for a model by others",
        description=_INSPECT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspect.add_argument("model", type=Path, metavar="MODEL.onnx", help="the model's file")
    inspect.set_defaults(run=_inspect)


def _serve(options: argparse.Namespace) -> int:
    # What gRPC would print of its own, the errors say in one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The thread that wakes the event loop reads the sockets too: one less to hand each message on,
    # which is worth a tenth of the rate (`python -m benchmarks serving`).
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    # Imported here, so that `score` and `--help` don't wait for gRPC.
    import uvloop

    given = {name: value for name, value in vars(options).items() if value is not None}
    given.pop("run")
    settings = Settings.build(from_environment() | given)
    logs.configure(settings.log_format, settings.log_level)
    for caution in () if settings.worker else settings.cautions:
        _log.warning(caution)
    if settings.workers > 1:
        from service.supervisor import supervise

        uvloop.run(supervise(settings))
    else:
        from service.rpc.server import serve

        tracing.start()
        try:
            uvloop.run(serve(settings))
        finally:
            tracing.stop()
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from service.artifacts import artifact, config, inspection
    from service.runtime import sessions

    model = artifact.load(options.model)
    proposal = inspection.propose(sessions.inspect(model))
    for note in proposal.notes:
        print(f"# {note}")
    print(config.write(proposal.config), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
