"""The command `python -m service`: serve, score, inspect, health.

Owns the command line: its words, its exit codes (0; 1 where a server or a score fails; 2 for a
mistake in the command), and that a mistake never shows a traceback.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from service.console import with_output
from service.errors import ServiceError, UserError
from service.health import add_health
from service.serve_arguments import add_serve
from service.settings import Settings, from_environment

_SERVICE = """\
Runs exported models: for live streams, each with a state of its own, and over files of history.

example:
  python -m service serve --model-repository models/ --port 8500
"""
_SCORE = """\
Scores a file of steps: one row a step, its answers in a Parquet file with the same rows.

The file, Parquet or CSV, has a column that says whose step a row is, one whose values grow from
step to step, and the model's features under their names; other columns are left alone. Each entity
starts in the model's initial state. On the CPU the answers have the same bits as those of a stream.
A classifier's likeliest class is in the column `predicted`.

example:
  python -m service score --model models/activity/1/model.onnx \\
      --input steps.parquet --output answers.parquet --entity recording --order packet
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
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
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
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description=_SERVICE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve(commands, _serve)
    _add_score(commands)
    _add_inspect(commands)
    add_health(commands)
    return parser


def _add_score(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    score = commands.add_parser(
        "score",
        help="score a file of steps",
        description=_SCORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_score_files(score)
    score.add_argument(
        "--entity", required=True, metavar="COLUMN", help="whose step it is, such as a device's id"
    )
    score.add_argument(
        "--order",
        required=True,
        metavar="COLUMN",
        help="when it was: a number or a time that grows from step to step of an entity",
    )
    score.add_argument(
        "--provider",
        choices=("cpu", "cuda", "auto"),
        default="cpu",
        help="where the model runs; cuda fails where it isn't really there (cpu)",
    )
    score.add_argument(
        "--max-batch", type=int, default=256, metavar="N", help="entities of one call (256)"
    )
    score.set_defaults(run=_score)


def _add_score_files(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="FILE",
        help="a model.onnx, or a model's folder such as models/activity for its newest version",
    )
    score.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help="steps, .parquet or .csv"
    )
    score.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the answers go, .parquet; folders are made",
    )


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
    # Imported here, so that `score` and `--help` don't wait for gRPC.
    import uvloop

    given = {name: value for name, value in vars(options).items() if value is not None}
    given.pop("run")
    settings = Settings.build(from_environment() | given)
    if settings.workers > 1:
        from service.supervisor import supervise

        uvloop.run(supervise(settings))
    else:
        from service.rpc.server import serve

        uvloop.run(serve(settings))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from service import artifact, config, inspection, sessions

    model = artifact.load(options.model)
    proposal = inspection.propose(sessions.inspect(model))
    for note in proposal.notes:
        print(f"# {note}")
    print(config.write(proposal.config), end="")
    return 0


def _score(options: argparse.Namespace) -> int:
    from service.offline.job import Job, score

    given = dict(vars(options))
    given.pop("run")
    # As an exception, so that what is half written goes on the way out.
    signal.signal(signal.SIGTERM, _end)
    print(score(Job(**given)))
    return 0


def _end(number: int, _frame: object) -> None:
    print("error: ended by a signal; the output is as it was before", file=sys.stderr)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
