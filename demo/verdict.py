"""The demo's last table: each figure, what it has to reach, and whether it does.

Owns the floors. A figure without a floor is told, not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.live import LiveRun
from demo.tails import Float32, Tails

ACCURACY_FLOOR = 0.95
# Probabilities in float32 after hundreds of steps: some tens of roundings of 6e-8.
ERROR_LIMIT = 1e-5


@dataclass(frozen=True)
class Figure:
    """One row of the table; `holds` is None where the figure has no floor."""

    name: str
    value: str
    wanted: str = ""
    holds: bool | None = None


def judge(
    tails: Tails,
    live: LiveRun,
    scored: dict[str, Float32],
    reference: dict[str, NDArray[np.float64]],
) -> list[Figure]:
    """Compares the streamed outputs with truth, with batch scoring and with the reference.

    Args:
        tails: inputs and true labels.
        live: what the streams got.
        scored: outputs of batch scoring, by entity.
        reference: outputs of the float64 reference, by entity.
    """
    streamed = accuracy(tails, live.outputs, live.labels)
    offline = accuracy(tails, scored, live.labels)
    different = differing(live.outputs, scored)
    # NumPy's max, since Python's may pass over a NaN.
    errors = [np.abs(live.outputs[name] - reference[name]).max() for name in reference]
    worst = float(np.max(errors))
    p50, p99 = np.percentile(live.latencies, [50, 99]) * 1e3
    return [
        Figure("streams at once", f"{len(live.outputs)}"),
        Figure("steps", f"{tails.steps}"),
        Figure(
            "accuracy streamed, cold start included",
            f"{streamed:.2%}",
            f"at least {ACCURACY_FLOOR:.0%}",
            streamed >= ACCURACY_FLOOR,
        ),
        Figure("accuracy offline", f"{offline:.2%}", "the same as streamed", offline == streamed),
        Figure("outputs whose bits differ", f"{different}", "0", different == 0),
        Figure(
            "worst error against float64",
            f"{worst:.2g}",
            f"at most {ERROR_LIMIT:g}",
            worst <= ERROR_LIMIT,
        ),
        Figure("throughput", f"{tails.steps / live.seconds:,.0f} steps/s"),
        Figure("latency p50", f"{p50:.1f} ms"),
        Figure("latency p99", f"{p99:.1f} ms"),
    ]


def accuracy(tails: Tails, outputs: dict[str, Float32], labels: Sequence[str]) -> float:
    """Part of all steps whose likeliest label is the true one."""
    right = sum(
        int(np.sum(np.asarray(labels)[outputs[entity].argmax(axis=1)] == np.asarray(truth)))
        for entity, truth in tails.targets.items()
    )
    return right / tails.steps


def differing(first: dict[str, Float32], second: dict[str, Float32]) -> int:
    """Numbers whose bits differ; a number that only one side has differs too."""
    total = 0
    for entity in first.keys() | second.keys():
        a = first.get(entity, np.empty((0, 0), np.float32))
        b = second.get(entity, np.empty((0, 0), np.float32))
        if a.shape == b.shape:
            total += int(np.count_nonzero(a.view(np.uint32) != b.view(np.uint32)))
        else:
            total += max(a.size, b.size)
    return total


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned text."""
    marks = {None: "", True: "ok", False: "FALLS SHORT"}
    rows = [(figure.name, figure.value, figure.wanted, marks[figure.holds]) for figure in figures]
    rows.insert(0, ("figure", "measured", "wanted", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(max(lines, key=len)), *lines[1:]])
