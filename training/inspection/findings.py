"""What an inspection measured, as sections of its page.

Owns the wording. Knows nothing of how the figures came about.
"""

from training.inspection.charts import draw_gates, draw_lags
from training.inspection.comparison import HEADER
from training.inspection.inspect import Contender, Inspection
from training.inspection.markup import paragraph, picture, section, table


def gradient(inspection: Inspection) -> str:
    """How errors flow back in time, beside the peers."""
    contenders = inspection.contenders
    lags = contenders[0].norms.norms.shape[1] - 1
    shown = [lag for lag in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if lag <= lags]
    figures = list(contenders[0].validation)
    rows = [
        (
            one.name,
            f"{one.parameters:,}",
            str(one.epochs),
            *(f"{part[name]:.4g}" for part in (one.validation, one.test) for name in figures),
        )
        for one in contenders
    ]
    words = [name.replace("_", " ") for name in figures]
    header = ("network", "weights", "epochs", *(f"validation {name}" for name in words))
    return section(
        "How far errors flow back",
        paragraph(
            f"The error at a step T, followed back to the state k steps before: norm of the loss's "
            f"derivative, over {inspection.pairs:,} steps of the test part, in float64. Lines are "
            "medians, bands quartiles. A line that falls steeply is a gradient that vanishes. The "
            "state is h of all layers together; for the LSTM it is (h, c) jointly."
        ),
        picture(draw_lags([one.norms for one in contenders]), "Norm by lag"),
        table(
            (
                "median share of lag 0 at",
                *(f"k = {lag}" for lag in shown),
                "factor a step",
                "below 1% at",
            ),
            [_shares(one, shown) for one in contenders],
        ),
        paragraph(
            "The tanh network and the LSTM have the same hidden size, and were fitted on the same "
            f"batches with the same schedule and seed{_shortened(inspection)}. Nothing was chosen "
            "by the test part."
        ),
        table((*header, *(f"test {name}" for name in words)), rows),
    )


def _shares(contender: Contender, lags: list[int]) -> tuple[str, ...]:
    norms = contender.norms
    below = norms.lag_below(0.01)
    return (
        contender.name,
        *(f"{norms.relative[1][lag]:.2g}" for lag in lags),
        f"x {norms.factor_per_step:.3f}",
        "never" if below is None else f"k = {below}",
    )


def _shortened(inspection: Inspection) -> str:
    epochs = inspection.settings.epochs
    own = inspection.run.config.training.epochs
    if epochs is None or epochs == own:
        return ""
    return f", but with the schedule laid over {epochs} epochs instead of {own} (--epochs)"


def gates(inspection: Inspection) -> str:
    """How the gates are used."""
    uses = inspection.gates
    shares = list(uses[0].shares)
    return section(
        "How the gates are used",
        paragraph(
            f"Over {inspection.steps:,} real steps of the test part and all units. z near 1 keeps "
            "the state as it is; z and r near 0 cut it off; z near 0 with r near 1 is a step of a "
            "plain recurrent network."
        ),
        picture(draw_gates(uses), "Distribution of update and reset gate"),
        table(
            ("steps x units", *(f"layer {use.layer}" for use in uses)),
            [(name, *(f"{use.shares[name]:.1f}%" for use in uses)) for name in shares],
        ),
    )


def jacobians(inspection: Inspection) -> str:
    """Whether the derivative is what its formula says."""
    return section(
        "The derivative from state to state",
        paragraph(
            "dh_t/dh_{t-1}, measured on the trained cell at real steps in two ways, against the "
            "formula: with the gates forced to the three cases that decide whether an error "
            "vanishes, and with the gates as they are."
        ),
        table(HEADER, [comparison.cells for comparison in inspection.comparisons]),
    )
