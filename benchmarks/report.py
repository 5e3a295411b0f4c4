"""What a benchmark leaves behind: flat records in a file, and a table for people.

Owns both forms. Knows nothing of what was measured.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Names end in their unit.
Record = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, the record's field, and the format of a cell."""

    title: str
    field: str
    form: str = ""


def write(path: Path, records: Sequence[Record], identity: str = "") -> None:
    """Writes records as a JSON list.

    Args:
        path: the file.
        records: what was measured.
        identity: the field by which a new record takes the place of an older one, so that those
            that were not measured this time stay; "" where a file is replaced as a whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if identity and path.exists():
        older = {record[identity]: record for record in json.loads(path.read_text())}
        records = list((older | {record[identity]: record for record in records}).values())
    path.write_text(json.dumps(records, indent=2) + "\n")


def table(columns: Sequence[Column], records: Sequence[Record]) -> str:
    """A table with aligned columns, the first to the left and the others to the right."""
    rows = [[column.title for column in columns]]
    rows += [[format(record[one.field], one.form) for one in columns] for record in records]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((first, *others)).rstrip()
