"""What a benchmark is to the command line.

Owns the seam, and an option that several have: each benchmark is one module that fills this in, and
`registry` names it.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Column, Record, table, write


@dataclass(frozen=True)
class Benchmark:
    """One measurement that can be asked for by name.

    Attributes:
        name: what it is called on the command line, and its result file.
        summary: one line for the list of benchmarks.
        description: what is measured and how, for its help; ends with an example.
        add_arguments: adds its own options to its parser.
        measure: measures; its options include `quick`, for a run of a few seconds in all.
        columns: of its table.
        identity: the record's field by which a run of a part replaces records of an earlier run;
            "" where every run measures all.
        tables: what it prints where one table of `columns` does not do.
        present: writes pages and pictures of all records beside them, in a folder.
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], list[Record]]
    columns: tuple[Column, ...] = ()
    identity: str = ""
    tables: Callable[[Sequence[Record]], str] | None = None
    present: Callable[[Sequence[Record], Path], None] | None = None

    def show(self, records: Sequence[Record]) -> str:
        """What was measured, for a terminal."""
        return self.tables(records) if self.tables else table(self.columns, records)

    def keep(self, records: Sequence[Record], folder: Path) -> None:
        """Writes records, pages and pictures into a folder of results."""
        kept = write(folder / f"{self.name}.json", records, self.identity)
        if self.present:
            self.present(kept, folder)


def add_repeats(parser: argparse.ArgumentParser, default: int, of: str) -> None:
    """Adds `--repeats`, one at least, since figures are medians; `of` says what is repeated."""
    parser.add_argument(
        "--repeats", type=_at_least_one, default=default, metavar="N", help=f"{of} ({default})"
    )


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; take 1 or more")
    return number
