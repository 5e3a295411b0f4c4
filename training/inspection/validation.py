"""What the export compared, as a section of an inspection's page.

Owns the reading of what the export left in the run's folder. Knows neither ONNX nor the exporter.
"""

import json
from typing import Any

from training.inspection.markup import paragraph, picture, section, table
from training.run_folder import RunFolder

_TITLE = "Export"
_HEADER = ("check", "compared", "values", "worst error", "tolerance", "where", "result")


def validation(folder: RunFolder) -> str:
    """The export's comparisons, or how to get them."""
    command = f"python -m export --run {folder.path} --out models/NAME/1/model.onnx"
    if not folder.validation.exists():
        words = f"Not exported yet. `{command}` proves the network as ONNX; then inspect again."
        return section(_TITLE, paragraph(words))
    try:
        forms = json.loads(folder.validation.read_text(encoding="utf-8"))["forms"]
        tables = [_form(form) for form in forms]
    except (ValueError, KeyError, TypeError):
        words = f"{folder.validation.name} can't be read; `{command}` writes it anew."
        return section(_TITLE, paragraph(words))
    drawn = folder.validation_picture
    shown = [picture(drawn.read_bytes(), "Errors by step")] if drawn.is_file() else []
    return section(_TITLE, *tables, *shown)


def _form(form: dict[str, Any]) -> str:
    rows = [
        (
            one["check"],
            one["compared"],
            f"{one['values']:,}",
            f"{one['worst_error']:.1e}",
            f"{one['tolerance']:.1e}",
            one["where"] or "-",
            "passed" if one["passed"] else "FAILED",
        )
        for one in form["comparisons"]
    ]
    return paragraph(f"{form['path']}, digest {form['digest']}") + table(_HEADER, rows)
