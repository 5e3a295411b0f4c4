"""The command `python -m training`.

Owns arguments, exit codes and what is printed. Every command's work is in a module of its own,
imported only when the command runs, so that `--help` does not wait for torch.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.config_file import read_config
from training.console import Parser, leave, with_output
from training.errors import ComparisonFailed, ConfigError, TrainingError
from training.run_folder import RunFolder

_TRAINING = """\
Fits GRUs on sequences from tables, and fetches the built-in data.

example:
  python -m training fit --config training/configs/activity.toml --out runs/activity
"""
_MOST_THREADS = 1_024
_FIT = """\
Fits a GRU on sequences with back-propagation through time, tests it on the end of every sequence,
and leaves checkpoints, figures and pictures in a run folder.

Stopped or killed at any moment, the same command goes on after the last whole epoch, and ends with
the same weights as if it had not been stopped. --force begins anew.

example:
  python -m training fit --config training/configs/activity.toml --out runs/activity
"""
_INSPECT = """\
Looks into a finished run, and writes runs/NAME/report.html: how errors flow back in time beside a
plain tanh network and an LSTM that are fitted the same way, how the gates are used, and whether
the derivative from state to state is what its formula says. The two other networks are kept.

example:
  python -m training inspect runs/activity
"""
_WATCH = """\
Fetches 140 smartwatch recordings of shoulder exercises with pip, checks their hash, and converts
them to Parquet, once. A row is a packet of 5 samples x 6 channels, a tenth of a second.

example:
  python -m training data watch --out data/watch.parquet
"""
_TRAFFIC = """\
Fetches six years of a road's traffic and weather with pip, checks their hash, and converts them to
Parquet, once. A row is an hour.

example:
  python -m training data traffic --out data/traffic.parquet
"""
_TAILS = """\
Writes the steps that a run was tested on, the end of every sequence, with the true classes: what to
stream to a service to see the same accuracy there.

example:
  python -m training data tails --run runs/activity --out tails.parquet
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0; 1 where an inspection's comparison failed; 2 where the user has to change something; 130
        where the user stopped it.
    """
    options = _parser().parse_args(arguments)
    return with_output(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        options.run_command(options)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, ComparisonFailed) else 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}; give another path", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="python -m training",
        description=_TRAINING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fit(commands)
    _add_inspect(commands)
    data = _add(commands, "data", "fetch and write data sets", f"{_WATCH}\n{_TRAFFIC}\n{_TAILS}")
    kinds = data.add_subparsers(required=True, metavar="WHAT")
    watch = _add(kinds, "watch", "fetch and convert the built-in activity set", _WATCH)
    watch.add_argument(
        "--out", type=Path, default=Path("data/watch.parquet"), metavar="FILE", help="(%(default)s)"
    )
    watch.set_defaults(run_command=_watch)
    traffic = _add(kinds, "traffic", "fetch and convert the built-in traffic set", _TRAFFIC)
    traffic.add_argument(
        "--out",
        type=Path,
        default=Path("data/traffic.parquet"),
        metavar="FILE",
        help="(%(default)s)",
    )
    traffic.set_defaults(run_command=_traffic)
    tails = _add(kinds, "tails", "write the steps that a run was tested on", _TAILS)
    tails.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="a finished run")
    tails.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .parquet file")
    tails.set_defaults(run_command=_tails)
    return parser


def _add_fit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fit = _add(commands, "fit", "fit a network", _FIT)
    fit.add_argument(
        "--config", type=Path, required=True, metavar="FILE.toml", help="see docs/training.md"
    )
    fit.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="the run, such as runs/activity"
    )
    fit.add_argument("--seed", type=int, metavar="N", help="instead of the configuration's")
    fit.add_argument(
        "--threads", type=int, default=1, metavar="N", help="processor threads (%(default)s)"
    )
    fit.add_argument("--force", action="store_true", help="begin anew, whatever run is in FOLDER")
    fit.set_defaults(run_command=_fit)


def _add_inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    inspect = _add(commands, "inspect", "look into a finished run", _INSPECT)
    inspect.add_argument("run", type=Path, metavar="FOLDER", help="such as runs/activity")
    inspect.add_argument(
        "--epochs", type=int, metavar="N", help="of the other networks (the configuration's)"
    )
    inspect.add_argument(
        "--lags", type=int, default=100, metavar="K", help="steps to look back (%(default)s)"
    )
    inspect.add_argument(
        "--threads", type=int, default=1, metavar="N", help="processor threads (%(default)s)"
    )
    inspect.set_defaults(run_command=_inspect)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _fit(options: argparse.Namespace) -> None:
    config = read_config(options.config)
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    if not 1 <= options.threads <= _MOST_THREADS:
        raise ConfigError(f"--threads {options.threads} must be from 1 to {_MOST_THREADS}")
    import torch

    from training.fit import fit

    torch.set_num_threads(options.threads)
    metrics = fit(config, RunFolder(options.out), force=options.force)
    # Of several processes only the first has them.
    if not metrics:
        return
    print(
        f"{options.out}: {_result(metrics)}, from a cold start; {metrics['fit_time_seconds']:.0f} s"
    )


def _inspect(options: argparse.Namespace) -> None:
    from training.inspection.command import run

    run(options.run, epochs=options.epochs, lags=options.lags, threads=options.threads)


def _result(metrics: dict[str, float]) -> str:
    """The test's figures in words."""
    steps = f"{metrics['test_length_steps']:,.0f} test steps"
    if "test_accuracy_percent" in metrics:
        return f"{metrics['test_accuracy_percent']:.2f}% of {steps} right"
    figures = [name for name in metrics if name.startswith("test_") and "length" not in name]
    words = (
        f"{name.removeprefix('test_').replace('_', ' ')} {metrics[name]:.4g}" for name in figures
    )
    return f"{', '.join(words)} over {steps}"


def _watch(options: argparse.Namespace) -> None:
    from training.data.watch import ensure_watch

    made = ensure_watch(options.out)
    print(f"{options.out}: {'fetched and converted' if made else 'is there already'}")


def _traffic(options: argparse.Namespace) -> None:
    from training.data.traffic import ensure_traffic

    made = ensure_traffic(options.out)
    print(f"{options.out}: {'fetched and converted' if made else 'is there already'}")


def _tails(options: argparse.Namespace) -> None:
    from training.tails import write_tails

    rows = write_tails(RunFolder(options.run), options.out)
    print(f"{options.out}: {rows:,} steps")


if __name__ == "__main__":
    leave(main())
