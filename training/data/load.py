"""A configured data set, ready to be split.

Owns the way from rows to sequences. Knows the columns' roles, not file formats.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import DataConfig
from training.data.columns import (
    read_classes,
    read_features,
    read_labels,
    read_names,
    read_order,
    read_values,
    read_weights,
)
from training.data.sequences import Dataset, Sequence
from training.data.table import Table, read_table
from training.data.traffic import ensure_traffic
from training.data.watch import ensure_watch
from training.errors import DataError
from training.trained import Channel


def load_dataset(config: DataConfig) -> Dataset:
    """Reads all sequences of a table; a built-in set is fetched first where it is missing.

    Rows of different entities may be mixed; those of one entity have to be in their order.

    Raises:
        DataError: the table can't be used as configured, or can't be fetched.
    """
    path = Path(config.path)
    if config.builtin == "watch":
        ensure_watch(path)
    elif config.builtin == "traffic":
        ensure_traffic(path)
    table = read_table(path, config.entity)
    channels = _channels(table, config)
    features = read_features(table, tuple(channel.name for channel in channels))
    order = read_order(table, config.order)
    labels, targets = _targets(table, config)
    weights = read_weights(table, config.weight) if config.weight else None
    groups = read_names(table, config.group) if config.group else None
    sequences = []
    for entity, rows in _rows_by_entity(read_names(table, config.entity)):
        _check_order(table, config.order, order[rows], rows)
        counts = None if weights is None else weights[rows]
        group = entity if groups is None else _group(table, config.group, groups[rows], rows)
        parts = (order[rows], features[rows], targets[rows], counts)
        sequences.append(Sequence(entity, *parts, group))
    units = tuple(config.target_units.get(name, "") for name in config.targets)
    scaled = config.kind == "regression"
    return Dataset(channels, labels, tuple(sequences), units if scaled else ())


def _group(table: Table, column: str, groups: NDArray[Any], rows: NDArray[np.int64]) -> str:
    """The one group of an entity's rows."""
    others = groups != groups[0]
    if others.any():
        step = int(others.argmax())
        problem = f"{groups[step]} after {groups[0]}; an entity belongs to one group"
        raise table.fault(column, int(rows[step]), problem)
    return str(groups[0])


def _targets(table: Table, config: DataConfig) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names of the outputs, and every row's target."""
    if config.kind == "class":
        return read_classes(table, config.targets[0])
    read = read_values if config.kind == "regression" else read_labels
    return config.targets, read(table, config.targets)


def _channels(table: Table, config: DataConfig) -> tuple[Channel, ...]:
    """Input channels by the configured names and patterns, each column once."""
    units: dict[str, str] = {}
    for pattern, unit in config.features.items():
        for name in table.matching(pattern):
            units.setdefault(name, unit)
    roles = [("entity", config.entity), ("order", config.order), ("weight", config.weight)]
    roles.append(("group", config.group))
    for role, name in [*roles, *(("target", name) for name in config.targets)]:
        if name in units:
            raise DataError(
                f"data.features: column '{name}' is data.{role}, and can't be an input too; "
                "narrow the pattern"
            )
    return tuple(Channel(name, unit) for name, unit in units.items())


def _rows_by_entity(entities: NDArray[Any]) -> list[tuple[str, NDArray[np.int64]]]:
    """Each entity with its rows as they stand in the file; entities by first appearance."""
    names, first, codes = np.unique(entities, return_index=True, return_inverse=True)
    by_entity = np.argsort(codes, kind="stable")
    groups = np.split(by_entity, np.cumsum(np.bincount(codes))[:-1])
    return [(str(names[code]), groups[code]) for code in np.argsort(first)]


def _check_order(table: Table, name: str, order: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Refuses an order value that is not above the one before it, (steps,)."""
    falling = order[1:] <= order[:-1]
    if falling.any():
        step = int(falling.argmax()) + 1
        if order[step] == order[step - 1]:
            problem = f"{order[step]} is there twice; keep one of the rows"
        else:
            problem = f"{order[step]} comes after {order[step - 1]}; sort the rows by '{name}'"
        raise table.fault(name, int(rows[step]), problem)
