"""The validation report as a table for a terminal, and as JSON for the run's folder.

Owns its layout. Knows nothing of how the figures came about.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from protos.statewise.v1.manifest_pb2 import Comparison, Manifest

_HEADER = ("check", "compared", "values", "worst error", "tolerance", "where", "result")
# The columns of numbers stand to the right.
_NUMBERS = (2, 3, 4)


def table(comparisons: Iterable[Comparison]) -> str:
    """One line a comparison, under a header; columns aligned."""
    rows = [_HEADER, *(_row(comparison) for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_line(row, widths) for row in rows)


def stored(path: Path, manifest: Manifest) -> dict[str, Any]:
    """One artefact's comparisons, for whoever reads them without protobuf.

    Args:
        path: where the artefact goes.
        manifest: its own, with the report.
    """
    return {
        "path": str(path),
        "digest": manifest.content_digest,
        "comparisons": [
            {field.name: getattr(one, field.name) for field in one.DESCRIPTOR.fields}
            for one in manifest.validation.comparisons
        ],
    }


def _row(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.check,
        comparison.compared,
        f"{comparison.values:,}",
        _number(comparison.worst_error),
        _number(comparison.tolerance),
        comparison.where or "-",
        "passed" if comparison.passed else "FAILED",
    )


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
