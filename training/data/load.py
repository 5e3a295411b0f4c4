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
from training.data.table import Table, TableFile, open_table
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
    file = open_table(path, config.entity)
    roles = [config.order, *config.targets, config.weight, config.group]
    table = file.read([name for name in roles if name])
    channels = _channels(file, config)
    entities, codes = read_names(table, config.entity)
    # All rows, entity after entity, each one's as they stand in the file.
    by_entity = np.argsort(codes, kind="stable")
    features = _features(file, channels, by_entity)
    order = read_order(table, config.order)
    labels, targets = _targets(table, config)
    weights = read_weights(table, config.weight) if config.weight else None
    groups = read_names(table, config.group) if config.group else None
    sequences, start = [], 0
    for entity, steps in zip(entities, np.bincount(codes), strict=True):
        part = slice(start, start + int(steps))
        start, rows = part.stop, by_entity[part]
        _check_order(table, config.order, order[rows], rows)
        counts = None if weights is None else weights[rows]
        group = entity if groups is None else _group(table, config.group, *groups, rows)
        sequences.append(
            Sequence(entity, order[rows], features[part], targets[rows], counts, group)
        )
    units = tuple(config.target_units.get(name, "") for name in config.targets)
    scaled = config.kind == "regression"
    return Dataset(channels, labels, tuple(sequences), units if scaled else ())


def _features(
    file: TableFile, channels: tuple[Channel, ...], by_entity: NDArray[np.int64]
) -> NDArray[np.float32]:
    """All rows' inputs, entity after entity, so that a sequence is a view of them."""
    places = np.empty_like(by_entity)
    places[by_entity] = np.arange(len(by_entity))
    return read_features(file, tuple(channel.name for channel in channels), places)


def _group(
    table: Table,
    column: str,
    names: tuple[str, ...],
    codes: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> str:
    """The one group of an entity's rows."""
    found = codes[rows]
    others = found != found[0]
    if others.any():
        step = int(others.argmax())
        problem = f"{names[found[step]]} after {names[found[0]]}; an entity belongs to one group"
        raise table.fault(column, int(rows[step]), problem)
    return names[int(found[0])]


def _targets(table: Table, config: DataConfig) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names of the outputs, and every row's target."""
    if config.kind == "class":
        return read_classes(table, config.targets[0])
    read = read_values if config.kind == "regression" else read_labels
    return config.targets, read(table, config.targets)


def _channels(file: TableFile, config: DataConfig) -> tuple[Channel, ...]:
    """Input channels by the configured names and patterns, each column once."""
    units: dict[str, str] = {}
    for pattern, unit in config.features.items():
        for name in file.matching(pattern):
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
