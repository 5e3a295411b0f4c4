"""The benchmark `serving` on the command line.

Owns its options, and where its page and pictures go. Knows nothing of how anything is measured.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import cores
from benchmarks.benchmark import Benchmark
from benchmarks.report import Record
from benchmarks.serving import pictures, tables
from benchmarks.serving.bench import Bench
from benchmarks.serving.contenders import GROUPS, PEERS, choose
from benchmarks.serving.records import summarize
from benchmarks.serving.settings import PARTS, QUICK, ServingSettings

_DESCRIPTION = """\
Statewise beside other servers that keep a state for each stream: the same model, the same load, a
core each for the server and the load. The servers take turns, and every answer is compared with the
model's own before a figure is printed.

  closed   each stream sends its next step when the last is answered: 1, 64 and 1,000 streams
  open     64 streams at fixed rates: percentiles of the latency
  idle     memory of a silent stream, 4,000 of them opened at once
  sizes    64 streams, four sizes of the model
  workers  two processes against one

As it stands it measures `closed` beside the plain servers, in under three minutes. Triton and
MLServer are installed on demand, each in an environment of its own under benchmarks/.peers; one
that can't be had is left out. A run of some parts leaves the records of the others as they are.

example:
  python -m benchmarks serving
  python -m benchmarks serving --peers all --parts closed open --seconds 3
"""
_TEXTS = {
    "repeats": "turns of each server",
    "seconds": "measured in each turn, for each load",
    "warmup_seconds": "load before that",
    "streams": "at once, for closed",
    "rates": "steps a second, for open",
    "connections": "HTTP/2 connections that carry the streams",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=(*PARTS, "all"),
        default=["closed"],
        metavar="PART",
        help=f"{', '.join(PARTS)}, or all (closed)",
    )
    peers = (*GROUPS, *(peer.key for peer in PEERS))
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=peers,
        default=["plain"],
        metavar="PEER",
        help=f"beside Statewise: {', '.join(peers)} (plain)",
    )
    for name, text in _TEXTS.items():
        default = getattr(ServingSettings(), name)
        several = default if isinstance(default, tuple) else (default,)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(several[0]),
            nargs="+" if several is default else None,
            metavar="N",
            help=f"{text} ({' '.join(f'{one:g}' for one in several)})",
        )


def _measure(options: argparse.Namespace) -> list[Record]:
    settings = _settings(options)
    parts = PARTS if "all" in options.parts else [one for one in PARTS if one in options.parts]
    both = cores.choose()
    with tempfile.TemporaryDirectory() as folder, cores.pinned(both.load):
        bench = Bench(Path(folder), settings, both)
        return summarize(bench.run(parts, choose(options.peers)))


def _settings(options: argparse.Namespace) -> ServingSettings:
    given = {name: value for name in _TEXTS if (value := getattr(options, name)) is not None}
    given = {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}
    return replace(QUICK if options.quick else ServingSettings(), **given)


def _present(records: Sequence[Record], folder: Path) -> None:
    (folder / "serving.md").write_text(tables.page(records))
    pictures.draw(records, folder)


BENCHMARK = Benchmark(
    name="serving",
    summary="Statewise beside other servers: steps a second, latency, memory, processor time",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=_measure,
    identity="case",
    tables=tables.tables,
    present=_present,
)
