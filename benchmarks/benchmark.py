"""What a benchmark is to the command line.

Owns the seam only: each benchmark is one module that fills this in, and `registry` names it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.report import Column, Record


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
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], list[Record]]
    columns: tuple[Column, ...]
    identity: str = ""
