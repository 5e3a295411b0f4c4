"""The command `python -m service score`: its words and options.

Owns the command line of batch scoring, and what a signal leaves behind. What it does is imported
when it is asked for, since other commands do without.
"""

import argparse
import signal
import sys
from pathlib import Path

_DESCRIPTION = """\
Scores a table of steps: one row a step, its answers in a Parquet file.

The input, Parquet, CSV or Arrow, a file or a folder of files (date=2026-11-23/... too), has a
column that says whose step a row is, one whose values grow from step to step, and the model's
features under their names; other columns are left alone. Rows may stand in any order: those that
are sorted by entity and order are read as they stand, others are sorted on disk first. The output
is sorted. Each entity starts in the model's initial state, or in that of --state-in. On the CPU the
answers have the same bits as those of a stream. A classifier's likeliest class is in the column
`predicted`.

example:
  python -m service score --model models/activity/1/model.onnx \\
      --input steps.parquet --output answers.parquet --entity recording --order packet
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    parser = commands.add_parser(
        "score",
        help="score a table of steps",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser)
    _add_rows(parser)
    _add_machine(parser)
    parser.set_defaults(run=_run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="FILE",
        help="a model.onnx, or a model's folder such as models/activity for its newest version",
    )
    files.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="PATH",
        help="steps: .parquet, .csv, .arrow, .feather or .ipc, or a folder of such files",
    )
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the answers go, .parquet, compressed as the input is; folders are made",
    )
    files.add_argument(
        "--state-in", type=Path, metavar="FILE", help="states to begin with, as --state-out wrote"
    )
    files.add_argument(
        "--state-out",
        type=Path,
        metavar="FILE",
        help="where every entity's last state goes, .parquet, for the next score or for streams",
    )
    files.add_argument(
        "--resume", action="store_true", help="go on with what an interrupted run has left"
    )
    files.add_argument(
        "--dry-run",
        action="store_true",
        help="check the model, the columns and every row's keys; score nothing",
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--entity", required=True, metavar="COLUMN", help="whose step it is, such as a device's id"
    )
    rows.add_argument(
        "--order",
        required=True,
        metavar="COLUMN",
        help="when it was: a number or a time that grows from step to step of an entity",
    )
    rows.add_argument(
        "--on-error",
        choices=("fail", "skip-entity", "quarantine"),
        default="fail",
        help="what a row that is no step (a number missing or not finite, an order that is there "
        "twice or before --state-in) does: ends it all, leaves its entity out, or is left out "
        "alone (fail)",
    )
    rows.add_argument(
        "--rejected",
        type=Path,
        metavar="FILE",
        help="where such rows go (OUTPUT.rejected.parquet)",
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--provider",
        choices=("cpu", "cuda", "auto"),
        default="cpu",
        help="where the model runs; cuda fails where it isn't really there (cpu)",
    )
    machine.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes, one a core (1)"
    )
    machine.add_argument(
        "--memory",
        type=int,
        default=400,
        metavar="MB",
        help="of all processes together, beyond what their libraries take (400)",
    )
    machine.add_argument(
        "--max-batch", type=int, default=256, metavar="N", help="entities of one call (256)"
    )
    machine.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="this machine, or the actors of a Ray cluster; needs '.[ray]' (local)",
    )


def _run(options: argparse.Namespace) -> int:
    from service.offline.job import Job
    from service.offline.score import look, score

    given = dict(vars(options))
    given.pop("run")
    dry = given.pop("dry_run")
    # As an exception, so that what is half written goes on the way out.
    signal.signal(signal.SIGTERM, _end)
    job = Job(**given)
    print(look(job) if dry else score(job))
    return 0


def _end(number: int, _frame: object) -> None:
    print(
        "error: ended by a signal; the output is as it was before, and --resume goes on",
        file=sys.stderr,
    )
    raise SystemExit(128 + number)
