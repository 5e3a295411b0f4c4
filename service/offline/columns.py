"""The columns that a step is made of: found by name, and of a type that can be what they are for.

Owns the words and the checks of names and types, and how a key is shown to people. Knows nothing of
rows.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import types

from service.errors import TableError


@dataclass(frozen=True)
class Columns:
    """What a row is made of, by name.

    Attributes:
        entity: whose step it is.
        order: when it was, among the steps of its entity.
        features: what the model sees, in the order of its input.
    """

    entity: str
    order: str
    features: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Each column that has to be read, once."""
        return list(dict.fromkeys((self.entity, self.order, *self.features)))


def check(path: Path, names: Sequence[str], columns: Columns) -> None:
    """Refuses a file that lacks a column, or has one twice.

    Raises:
        TableError: names the column, the nearest that is there, and the remedy.
    """
    _check_name(path, names, columns.entity, "name another with --entity")
    _check_name(path, names, columns.order, "name another with --order")
    for feature in columns.features:
        _check_name(path, names, feature, "the model needs it: add or rename it in the file")


def check_types(path: Path, columns: Columns, entity: pa.DataType, order: pa.DataType) -> None:
    """Refuses keys that can be none.

    Raises:
        TableError: names the column, its type and what it should be.
    """
    if not _is_entity(entity):
        raise wrong_type(path, columns.entity, entity, "texts, numbers or times")
    if not _is_order(order):
        raise wrong_type(path, columns.order, order, "numbers or times")


def wrong_type(path: Path, name: str, found: pa.DataType, wanted: str) -> TableError:
    """The refusal of a whole column."""
    return TableError(f"{path}: column {name!r} is of type {found}; convert it to {wanted}")


def decoded(kind: pa.DataType) -> pa.DataType:
    """A type without its dictionary, since every part of a file may have one of its own."""
    plain = kind.value_type if types.is_dictionary(kind) else kind
    return pa.string() if types.is_string_view(plain) else plain


def shown(key: pa.Scalar) -> str:
    """A key as people write it: text in quotes, times in UTC."""
    if types.is_timestamp(key.type):
        # Without its zone, whose rules this machine may not have.
        key = key.cast(pa.timestamp(key.type.unit))
    text = key.cast(pa.string()).as_py()
    return repr(text) if is_text(key.type) else str(text)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts."""
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers."""
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _check_name(path: Path, names: Sequence[str], name: str, remedy: str) -> None:
    found = list(names).count(name)
    if found == 0:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0)
        hint = f" (the nearest is {near[0]!r})" if near else ""
        raise TableError(f"{path}: has no column {name!r}{hint}; {remedy}")
    if found > 1:
        raise TableError(
            f"{path}: has {found} columns {name!r}; keep one of them, or rename the others"
        )


def _is_order(kind: pa.DataType) -> bool:
    # A text is no order: "10" stands before "9". Nor does Arrow compare half precision.
    comparable = is_number(kind) and not types.is_float16(kind)
    return comparable or bool(types.is_temporal(kind) or types.is_null(kind))


def _is_entity(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(types.is_primitive(kind) or types.is_decimal(kind))
