"""The command `python -m benchmarks`: lists the benchmarks, runs one, or all.

Owns the command line and where results go; each benchmark brings its own options.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark
from benchmarks.errors import BenchmarkError
from benchmarks.registry import BENCHMARKS
from training.console import Parser

_RESULTS = Path(__file__).resolve().parent / "results"
_DESCRIPTION = """\
Measures Statewise beside its peers, on this machine. Each benchmark prints a table and writes its
records to benchmarks/results/NAME.json. Figures are worth something on an idle machine only.

example:
  python -m benchmarks serving
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after a message where a benchmark can't be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if options.name is None:
        print("\n".join(f"{one.name:10} {one.summary}" for one in BENCHMARKS.values()))
        return 0
    if options.name == "all":
        # The options behind `all` are those that every benchmark has.
        return max(main([name, *given[1:]]) for name in BENCHMARKS)
    # As an exception, so that every server that runs is ended on the way out.
    signal.signal(signal.SIGTERM, _raise_exit)
    try:
        _run(BENCHMARKS[options.name], options)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _run(benchmark: Benchmark, options: argparse.Namespace) -> None:
    records = benchmark.measure(options)
    print(benchmark.show(records))
    folder: Path | None = options.results or (None if options.quick else _RESULTS)
    if folder:
        benchmark.keep(records, folder)


def _parser() -> argparse.ArgumentParser:
    parser = _formatted(Parser(prog="python -m benchmarks"), _DESCRIPTION)
    commands = parser.add_subparsers(dest="name", metavar="NAME")
    for benchmark in BENCHMARKS.values():
        command = commands.add_parser(benchmark.name, help=benchmark.summary)
        _formatted(command, benchmark.description)
        _add_common(command)
        benchmark.add_arguments(command)
    _add_common(commands.add_parser("all", help="every benchmark, on its defaults"))
    return parser


def _formatted(parser: argparse.ArgumentParser, description: str) -> argparse.ArgumentParser:
    parser.description = description
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few seconds in all, to see that it works; written only where --results says",
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="folder of the records (benchmarks/results)"
    )


def _raise_exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
