"""An inspection as one page that needs no other file.

Owns which sections there are, and in which order.
"""

from html import escape
from pathlib import Path
from string import Template

from training.inspection.findings import gates, gradient, jacobians
from training.inspection.inspect import Inspection
from training.inspection.made_from import configuration, curves, data, outcome
from training.inspection.validation import validation

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(inspection: Inspection) -> str:
    """The page's HTML."""
    run = inspection.run
    network = run.config.network
    form = "reset-after" if network.reset_after else "reset-before"
    layers = f"{network.layers} layer{'s' if network.layers > 1 else ''}"
    summary = (
        f"GRU, {form}, {layers} of {network.hidden} units; "
        f"{len(run.dataset.features)} inputs, {len(run.dataset.labels)} outputs; "
        f"data {run.dataset.digest[:19]}…"
    )
    sections = (
        outcome(inspection),
        gradient(inspection),
        gates(inspection),
        jacobians(inspection),
        curves(inspection),
        data(inspection),
        validation(run.folder),
        configuration(inspection),
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(run.checkpoint.name), summary=escape(summary), sections="\n".join(sections)
    )
