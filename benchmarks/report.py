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


def write(path: Path, records: Sequence[Record], identity: str = "") -> list[Record]:
    """Writes records as a JSON list and returns what the file then has.

    Args:
        path: the file.
        records: what was measured.
        identity: the field by which a new record takes the place of an older one, so that those
            that were not measured this time stay; "" where a file is replaced as a whole.
            Records of another machine go, as the figures of a file are there to be compared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if identity and path.exists():
        here = {_machine(record) for record in records}
        older = [one for one in json.loads(path.read_text()) if _machine(one) in here]
        records = list({record[identity]: record for record in (*older, *records)}.values())
    path.write_text(json.dumps(records, indent=2) + "\n")
    return list(records)


def _machine(record: Record) -> tuple[object, ...]:
    return tuple(value for name, value in record.items() if name.startswith("machine_"))


def table(columns: Sequence[Column], records: Sequence[Record]) -> str:
    """A table with aligned columns, the first to the left and the others to the right."""
    return "\n".join("  ".join(cells).rstrip() for cells in _aligned(columns, records))


def markdown(columns: Sequence[Column], records: Sequence[Record]) -> str:
    """The same table for a page; a terminal shows it as well."""
    title, *rows = _aligned(columns, records)
    rule = ["-" * len(title[0]), *("-" * (len(cell) - 1) + ":" for cell in title[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (title, rule, *rows))


def _aligned(columns: Sequence[Column], records: Sequence[Record]) -> list[list[str]]:
    """Titles and cells, as wide as their column; a field that a record lacks is an empty cell."""
    rows = [[column.title for column in columns]]
    rows += [
        [format(record[one.field], one.form) if one.field in record else "" for one in columns]
        for record in records
    ]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
