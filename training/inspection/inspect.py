"""A whole inspection of a finished run, from its data to its page.

Owns the order of things, and what is stored. Choices were made on the validation part when the
run was fitted; what is shown here is measured on the test part, and decides nothing.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from training.convert import to_reference
from training.errors import RunError
from training.evaluate import evaluate
from training.files import replace_text
from training.fitted import FittedRun, load_fitted
from training.inspection.comparison import Comparison
from training.inspection.gates import GateUse, measure_gates
from training.inspection.jacobians import check_jacobians
from training.inspection.lags import LagNorms, draw_pairs, fitting_lags, measure_lags
from training.inspection.peer_fits import fit_peer
from training.inspection.peers import PEER_KINDS, PeerNetwork, parameters
from training.inspection.traces import trace_steps
from training.network import RecurrentNetwork
from training.objective import ACTIVATIONS, Objective, Score, choose_objective
from training.run_folder import RunFolder

# Steps T at which errors begin: enough for quartiles.
_PAIRS = 512
_JACOBIANS = 64
# Numbers in the Jacobians of one layer, so that wide layers fit into memory.
_MOST_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Settings:
    """How an inspection is made.

    Attributes:
        lags: how many steps back an error is followed, where the sequences are long enough.
        epochs: of the peers, at most so many; None is as many as the run's.
    """

    lags: int = 100
    epochs: int | None = None


@dataclass(frozen=True)
class Contender:
    """One of the networks that are compared.

    Attributes:
        name: such as "LSTM".
        parameters: how many numbers were fitted.
        epochs: that it was fitted.
        validation, test: the objective's figures.
        norms: how errors flow back in it.
    """

    name: str
    parameters: int
    epochs: int
    validation: dict[str, float]
    test: dict[str, float]
    norms: LagNorms


@dataclass(frozen=True)
class Inspection:
    """All that was measured.

    Attributes:
        run: what was inspected.
        settings: how.
        test: the run's network on the test part.
        contenders: the run's network first.
        pairs: steps at which errors began.
        steps: real steps over which the gates were counted.
        gates: of each layer.
        comparisons: Jacobians against the formula.
    """

    run: FittedRun
    settings: Settings
    test: Score
    contenders: tuple[Contender, ...]
    pairs: int
    steps: int
    gates: tuple[GateUse, ...]
    comparisons: tuple[Comparison, ...]


def inspect(
    folder: RunFolder, settings: Settings, say: Callable[[str], None] = lambda _: None
) -> Inspection:
    """Measures a finished run, and stores the figures in its folder.

    Args:
        folder: the run.
        settings: how.
        say: takes a line whenever a part begins, to show progress.

    Raises:
        TrainingError: the run is not finished, or its data has changed or can't be read.
    """
    if not folder.metrics.exists():
        raise RunError(
            f"{folder.path} holds no finished run; give the command that fits it (again)"
        )
    run = load_fitted(folder)
    network = run.checkpoint.network()
    data = run.dataset
    objective = choose_objective(run.config.data.kind, data.labels, data.units, network)
    contenders, pairs = _contend(run, network, objective, settings, say)
    reference = to_reference(network, ACTIVATIONS[run.config.data.kind])
    say("gates and Jacobians")
    steps = trace_steps(reference, run.split.test, run.config.seed)
    count = min(_JACOBIANS, max(2, _MOST_NUMBERS // reference.hidden**2))
    inspection = Inspection(
        run=run,
        settings=settings,
        test=evaluate(network, objective, run.split.test),
        contenders=contenders,
        pairs=pairs,
        steps=len(steps.places),
        gates=measure_gates(steps),
        comparisons=check_jacobians(reference, steps.draw(count, run.config.seed)),
    )
    replace_text(folder.inspection / "inspection.json", json.dumps(_stored(inspection), indent=1))
    return inspection


def _contend(
    run: FittedRun,
    network: RecurrentNetwork,
    objective: Objective,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[tuple[Contender, ...], int]:
    """Fits the peers, and follows errors back in all networks from the same steps."""
    parts = run.split.test
    lags = fitting_lags(parts, settings.lags)
    pairs = draw_pairs(parts, lags, _PAIRS, run.config.seed)
    if not pairs:
        raise RunError(f"no step of the test part has a target and {lags} steps before it")
    logged = run.folder.log.read_text(encoding="utf-8").splitlines()
    found = []

    def add(
        name: str, contender: RecurrentNetwork | PeerNetwork, epochs: int, best: dict[str, float]
    ) -> None:
        say(f"{name}: {len(pairs)} errors back through {lags} steps")
        test = objective.figures(evaluate(contender, objective, parts))
        norms = measure_lags(name, contender, objective, parts, pairs, lags)
        found.append(Contender(name, parameters(contender), epochs, best, test, norms))

    prefix = "validation_"
    metrics = run.checkpoint.metrics
    validation = {
        name.removeprefix(prefix): metrics[name] for name in metrics if name.startswith(prefix)
    }
    add("GRU", network, len(logged), validation)
    for kind in PEER_KINDS:
        peer = fit_peer(kind, run, objective, settings.epochs)
        add(kind, peer.network, peer.epochs, peer.validation)
    return tuple(found), len(pairs)


def _stored(inspection: Inspection) -> dict[str, object]:
    """What the figures' file holds."""
    run = inspection.run
    return {
        "model": run.checkpoint.name,
        "data": run.dataset.digest,
        "part": "test",
        "settings": asdict(inspection.settings),
        "gradient": {
            "quantity": "norm of dL_T/dh_{T-k} by lag k; h of all layers, LSTM: (h, c)",
            "pairs": inspection.pairs,
            "networks": [_stored_contender(one) for one in inspection.contenders],
        },
        "gates": {
            "steps": inspection.steps,
            "layers": [
                {"layer": use.layer, "shares_percent": use.shares}
                | {"z_percent_by_bin": use.z.tolist(), "r_percent_by_bin": use.r.tolist()}
                for use in inspection.gates
            ],
        },
        "jacobians": [asdict(comparison) for comparison in inspection.comparisons],
    }


def _stored_contender(contender: Contender) -> dict[str, object]:
    norms = contender.norms
    return {
        "name": contender.name,
        "parameters": contender.parameters,
        "epochs": contender.epochs,
        "validation": contender.validation,
        "test": contender.test,
        "factor_per_step": norms.factor_per_step,
        "quartiles_by_lag": norms.quartiles.tolist(),
        "relative_quartiles_by_lag": norms.relative.tolist(),
    }
