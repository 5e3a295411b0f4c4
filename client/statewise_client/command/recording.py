"""A recording on this machine, step by step.

Owns the choice of the reader by the file's ending, and that a recording has at least one step.
Knows nothing of streams.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from statewise_client.command.files import STDIN, load_npy, open_csv, open_parquet
from statewise_client.command.table import Entity, Selection, steps, unused
from statewise_client.errors import InputError

_TABLES = {".csv": open_csv, ".parquet": open_parquet}
_ARRAY = ".npy"
_Steps = Iterator[NDArray[np.generic]]


@dataclass(frozen=True)
class Recording:
    """Steps of a recording.

    Attributes:
        steps: each (features,); reads on as it is iterated.
        unused: columns that are no features of the model.
    """

    steps: _Steps
    unused: tuple[str, ...] = ()


def check(source: str, selection: Selection) -> None:
    """Whether there is a recording to be read, asked before a server is asked for a stream.

    Args:
        source: a path, or "-" for CSV on standard input.
        selection: what of a table to take.

    Raises:
        InputError: the file is missing, or not of a kind for this.
    """
    if source == STDIN:
        return
    kind = _kind(source)
    if kind not in (*_TABLES, _ARRAY):
        raise InputError(
            f"{source}: give a file in .csv, .parquet or .npy, or - for CSV from stdin"
        )
    if Path(source).is_dir():
        raise InputError(f"{source}: it is a folder; name a file in it")
    if not Path(source).is_file():
        raise InputError(f"{source}: there is no such file; correct --input")
    if selection != Selection() and kind == _ARRAY:
        raise InputError(
            f"{source}: an array has no columns; leave out --entity and --order, or give a table"
        )


@contextmanager
def read(source: str, features: Sequence[str], selection: Selection) -> Iterator[Recording]:
    """Opens a recording that passed `check`, and closes it at the end of the block.

    Args:
        source: a path, or "-" for CSV on standard input.
        features: the model's, in their order.
        selection: what of a table to take.

    Raises:
        InputError: it is not a recording for this model; at once, or from the steps at the place
            of the mistake.
    """
    kind, entity = _kind(source), selection.entity
    if kind == _ARRAY:
        yield Recording(_not_empty(_array_steps(source, len(features)), source, entity))
        return
    with _TABLES.get(kind, open_csv)(source) as table:
        found = _not_empty(steps(table, features, selection), source, entity)
        yield Recording(found, unused(table, features, selection))


def _kind(source: str) -> str:
    return Path(source).suffix.lower()


def _array_steps(source: str, features: int) -> _Steps:
    array = load_npy(source)
    if array.ndim != 2 or array.shape[1] != features:
        raise InputError(
            f"{source}: its shape is {array.shape}; this model takes (steps, {features})"
        )
    return iter(array)


def _not_empty(found: _Steps, source: str, entity: Entity | None) -> _Steps:
    empty = True
    for step in found:
        empty = False
        yield step
    if empty and entity:
        raise InputError(f"{source}: no row has {entity.column} = {entity.value}; correct --entity")
    if empty:
        raise InputError(f"{source}: it has no steps; a recording has at least one")
