"""The outputs of a stream as lines: for people, for spreadsheets, for programs.

Owns the formats. Of classes that exclude each other a line tells the likeliest, else every output
by its name.
"""

import csv
import json
from collections.abc import Callable
from typing import TextIO

from statewise_client.arrays import Float32
from statewise_client.protocol import StreamInfo

# Writes the line of a step: its number and its outputs, (outputs,).
Writer = Callable[[int, Float32], object]


def text(info: StreamInfo, out: TextIO) -> Writer:
    """Columns for people."""

    def write(step: int, outputs: Float32) -> None:
        if info.outputs_are_classes:
            label, probability = _likeliest(info, outputs)
            values = f"{label}  {probability:.3f}"
        else:
            pairs = zip(info.outputs, outputs, strict=True)
            values = "  ".join(f"{name} {value:.6g}" for name, value in pairs)
        out.write(f"{step:>6}  {values}\n")

    return write


def comma_separated(info: StreamInfo, out: TextIO) -> Writer:
    """CSV with a header."""
    table = csv.writer(out, lineterminator="\n")
    names = ("label", "probability") if info.outputs_are_classes else info.outputs
    table.writerow(("step", *names))

    def write(step: int, outputs: Float32) -> None:
        values = _likeliest(info, outputs) if info.outputs_are_classes else shortest(outputs)
        table.writerow((step, *values))

    return write


def json_lines(info: StreamInfo, out: TextIO) -> Writer:
    """An object a line."""

    def write(step: int, outputs: Float32) -> None:
        line: dict[str, object] = {"step": step}
        if info.outputs_are_classes:
            line["label"], line["probability"] = _likeliest(info, outputs)
        else:
            line["outputs"] = dict(zip(info.outputs, shortest(outputs), strict=True))
        out.write(json.dumps(line) + "\n")

    return write


FORMATS: dict[str, Callable[[StreamInfo, TextIO], Writer]] = {
    "text": text,
    "csv": comma_separated,
    "jsonl": json_lines,
}


def _likeliest(info: StreamInfo, outputs: Float32) -> tuple[str, float]:
    best = int(outputs.argmax())
    return info.outputs[best], shortest(outputs[best : best + 1])[0]


def shortest(outputs: Float32) -> list[float]:
    """The float64 that prints as the float32 does: 0.1 and not 0.10000000149011612."""
    return [float(str(value)) for value in outputs]
