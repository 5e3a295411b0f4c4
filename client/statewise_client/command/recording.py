"""A recording on this machine, step by step.

Owns the choice of the reader by the file's ending, and that a recording has at least one step.
Knows nothing of streams.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from statewise_client.command.files import STDIN, load_npy, open_csv, open_parquet
from statewise_client.command.table import Entity, Selection, select, steps, unused
from statewise_client.errors import InputError

_TABLES = {".csv": open_csv, ".parquet": open_parquet}
_ARRAY = ".npy"
_Steps = Iterator[NDArray[np.generic]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Recording:
    """Steps of a recording.

    Attributes:
        steps: each (features,); reads on as it is iterated.
        unused: columns that are no features of the model.
    """

    steps: _Steps
    unused: tuple[str, ...] = ()


ForFeatures = Callable[[Sequence[str]], Recording]


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
def opened(source: str, selection: Selection) -> Iterator[ForFeatures]:
    """Opens a recording that passed `check`, and closes it at the end of the block.

    A file is read as far as the recording's first row, so that most mistakes show before a server
    is asked for a stream; of standard input the header alone, since its rows may come much later.

    Args:
        source: a path, or "-" for CSV on standard input.
        selection: what of a table to take.

    Yields:
        The recording for the features of a model, in their order. It raises InputError where it is
        none for this model; at once, or from the steps at the place of the mistake.

    Raises:
        InputError: it can't be read, has no steps, or lacks a column of the selection.
    """
    kind, entity = _kind(source), selection.entity
    if kind == _ARRAY:
        array = load_npy(source)
        yield lambda features: Recording(_array_steps(array, source, len(features)))
        return
    with _TABLES.get(kind, open_csv)(source) as table:
        rows = _not_empty(select(table, selection).rows, source, entity)
        if source != STDIN:
            rows = chain([next(rows)], rows)
        picked = replace(table, rows=rows)
        yield lambda features: Recording(
            steps(picked, features), unused(picked, features, selection)
        )


def _kind(source: str) -> str:
    return Path(source).suffix.lower()


def _array_steps(array: NDArray[np.generic], source: str, features: int) -> _Steps:
    if array.ndim != 2 or array.shape[1] != features:
        raise InputError(
            f"{source}: its shape is {array.shape}; this model takes (steps, {features})"
        )
    return _not_empty(iter(array), source, None)


def _not_empty(found: Iterator[_T], source: str, entity: Entity | None) -> Iterator[_T]:
    empty = True
    for one in found:
        empty = False
        yield one
    if empty and entity:
        raise InputError(f"{source}: no row has {entity.column} = {entity.value}; correct --entity")
    if empty:
        raise InputError(f"{source}: it has no steps; a recording has at least one")
