"""What a run was made from and what it came to, as sections of its page.

Owns the wording. Reads the pictures that the fit left.
"""

from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np

from training.config_file import format_config
from training.data.sequences import Sequence
from training.inspection.charts import draw_labels
from training.inspection.inspect import Inspection
from training.inspection.markup import code, folded, paragraph, picture, section, table


def outcome(inspection: Inspection) -> str:
    """Figures of the test part, and where the errors are."""
    run = inspection.run
    kind = run.config.data.kind
    metrics = [
        (name.replace("_", " "), f"{value:,.6g}") for name, value in run.checkpoint.metrics.items()
    ]
    if kind == "labels":
        labels = draw_labels(run.dataset.labels, inspection.test.counts)
        shown = picture(labels, "Each label on the test part, cold start")
    elif kind == "class":
        shown = _stored(run.folder.confusion_picture, "What was taken for what")
    else:
        shown = _stored(run.folder.residual_picture, "Computed against true numbers")
    return section("Result", table(("figure", "value"), metrics), shown)


def curves(inspection: Inspection) -> str:
    """The fit, epoch by epoch."""
    return section("The fit", _stored(inspection.run.folder.loss_picture, "Figures by epoch"))


def data(inspection: Inspection) -> str:
    """What the run was fitted and tested on."""
    run = inspection.run
    parts = {name: tuple(part) for name, part in vars(run.split).items()}
    counts = [(name, *_counts(part)) for name, part in parts.items()]
    mean, scale = run.checkpoint.weights["input_mean"], run.checkpoint.weights["input_scale"]
    channels = [
        (channel.name, channel.unit or "-", f"{mean[index]:.4g}", f"{scale[index]:.4g}")
        for index, channel in enumerate(run.dataset.features)
    ]
    return section(
        "Data",
        table(("", ""), [("file", run.config.data.path), ("digest", run.dataset.digest)]),
        table(("part", "sequences", "steps", "shortest", "median", "longest", "targets"), counts),
        _targets(inspection),
        folded(
            f"{len(channels)} inputs, with the scaling that the training part gave",
            table(("input", "unit", "mean", "spread"), channels),
        ),
    )


def configuration(inspection: Inspection) -> str:
    """Every setting, and what it was computed with."""
    versions = inspection.run.checkpoint.versions
    return section(
        "Configuration",
        code(format_config(inspection.run.config)),
        paragraph(", ".join(f"{name} {version}" for name, version in versions.items())),
    )


def _counts(part: tuple[Sequence, ...]) -> tuple[str, ...]:
    lengths = [len(sequence) for sequence in part]
    middle = int(np.median(lengths))
    targets = sum(int(sequence.scored.sum()) for sequence in part)
    numbers = (len(part), sum(lengths), min(lengths), middle, max(lengths), targets)
    return tuple(f"{number:,}" for number in numbers)


def _targets(inspection: Inspection) -> str:
    """How the targets are distributed over the parts."""
    run = inspection.run
    parts = vars(run.split)
    if run.config.data.kind == "class":
        counted = {name: _class_counts(part) for name, part in parts.items()}
        rows = [
            (label, *(f"{counts[index]:,}" for counts in counted.values()))
            for index, label in enumerate(run.dataset.labels)
        ]
        return table(("class, steps of", *counted), rows)
    means = {
        name: np.nanmean(np.concatenate([one.targets for one in part]), axis=0)
        for name, part in parts.items()
    }
    outputs = run.checkpoint.outputs
    rows = [
        (output.name, output.unit or "-", *(f"{mean[index]:.4g}" for mean in means.values()))
        for index, output in enumerate(outputs)
    ]
    return table(("target, mean of", "unit", *means), rows)


def _class_counts(part: tuple[Sequence, ...]) -> Counter[int]:
    return Counter(chain.from_iterable(sequence.targets.tolist() for sequence in part))


def _stored(path: Path, caption: str) -> str:
    if not path.is_file():
        return paragraph(f"{path.name} is not there any more; fit again to have it drawn.")
    return picture(path.read_bytes(), caption)
