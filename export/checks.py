"""The checks that an artefact has to pass; each returns what it compared and the worst it found.

Owns what an engine is fed and what its answers are held against. Knows neither files nor any
particular engine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from export.cases import Answer, Case, Lengths, answer, draw_case
from export.comparison import compare_bits, compare_close, worst_of
from export.tolerances import Tolerances
from protos.statewise.v1.manifest_pb2 import Comparison
from training.reference import Array, Network

Rows = Sequence[int] | NDArray[np.int64]
Measure = Callable[[Network, Sequence[tuple[Case, Answer]]], Tolerances]

# Two machines add up float64 in different orders, 1e-16 apart, which a network that can be proven
# amplifies by less than a thousand; one weight that changed by 1e-6 shows.
_FLOAT64_SHARE = 1e-9
_OUTPUT_AXES = ("step", "row", "channel")
_STATE_AXES = ("row", "unit")


class Runner(Protocol):
    """What the checks need of an engine, so that a test can hand them one that errs."""

    def run(self, case: Case) -> Answer:
        """Runs all steps of a case."""
        ...


class LengthsRunner(Protocol):
    """An engine that also takes streams of different lengths in one call."""

    def run_lengths(self, case: Case, lengths: Lengths) -> Answer:
        """Runs each stream of a case for its own number of steps."""
        ...


def check_onnx(model: onnx.ModelProto) -> Comparison:
    """The ONNX checker, with shape inference over the whole graph."""
    problem = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problem = str(error).strip().splitlines()[0]
    return Comparison(
        check="onnx checker",
        compared="graph against the ONNX specification",
        values=len(model.graph.node),
        where=problem,
        passed=not problem,
    )


def check_weights(found: Network, wanted: Network) -> Comparison:
    """The weights read back from the file against what is to be in it, bit for bit."""
    pairs = zip(_weights(found), _weights(wanted), strict=True)
    cases = [(name, compare_bits(a, b, _axes(a))) for (name, a), (_, b) in pairs]
    return worst_of("weights", "file against checkpoint, bit for bit", cases)


def check_reference(
    runner: Runner, network: Network, steps: int, batches: Sequence[int], measure: Measure
) -> tuple[list[Comparison], dict[int, Array]]:
    """Long runs from a random state against the float64 reference.

    Args:
        runner: the engine.
        network: for the reference.
        steps: of each run.
        batches: the size of each run's batch.
        measure: the tolerances of the network, given the cases with their answers.

    Returns:
        One comparison of all outputs and one of all final states; and for each batch the worst
        error of each step, as a share of its tolerance, (steps,).
    """
    random = np.random.default_rng(1)
    cases = [draw_case(network, steps, batch, random) for batch in batches]
    answered = [(case, answer(network, case)) for case in cases]
    tolerances = measure(network, answered)
    outputs, states, errors = [], [], {}
    for batch, (case, expected) in zip(batches, answered, strict=True):
        actual = runner.run(case)
        output, state = _compare(actual, expected, tolerances)
        outputs.append((f"batch {batch}", output))
        states.append((f"batch {batch}", state))
        share = np.abs(actual.outputs - expected.outputs) / tolerances.outputs
        errors[batch] = share.max(axis=(1, 2))
    compared = f"{steps} steps, batch {', '.join(map(str, batches))}, against float64"
    comparisons = [
        worst_of("reference outputs", compared, outputs),
        worst_of("reference states", compared, states),
    ]
    return comparisons, errors


def float64_tolerances(ranges: Array) -> Tolerances:
    """Those of two runs of the reference on equal weights, by the ranges of outputs, (outputs,)."""
    return Tolerances(_FLOAT64_SHARE * ranges, _FLOAT64_SHARE)


def check_stored(stored: Answer, expected: Answer, tolerances: Tolerances) -> Comparison:
    """The answers that the file carries against the reference on the weights at hand."""
    cases = _named("", _compare(stored, expected, tolerances))
    return worst_of("golden answers", "stored against float64", cases)


def check_golden(
    runner: Runner, case: Case, stored: Answer, tolerances: Tolerances, promised: float
) -> Comparison:
    """The golden vectors, as the server replays them.

    Args:
        runner: the engine.
        case: what they feed.
        stored: what they answer.
        tolerances: of the network.
        promised: the tolerance that the file states, by which the server judges.
    """
    tolerances = Tolerances(
        np.minimum(tolerances.outputs, promised), min(tolerances.state, promised)
    )
    compared = f"{len(case.inputs)} steps, batch {len(case.state)}, against the stored answers"
    return worst_of(
        "golden replay", compared, _named("", _compare(runner.run(case), stored, tolerances))
    )


def check_company(
    runner: Runner, network: Network, batches: Sequence[int], tolerances: Tolerances | None
) -> Comparison:
    """Each stream alone against the same stream in batches of many sizes, at random places.

    Args:
        runner: the engine.
        network: for the scale of the inputs.
        batches: sizes; as many streams as the largest take part.
        tolerances: None is bit for bit.
    """
    random = np.random.default_rng(2)
    streams = max(batches)
    case = draw_case(network, 20, streams, random)
    alone = _stack(runner.run(_rows(case, [stream])) for stream in range(streams))
    cases = []
    for batch in batches:
        chosen = random.permutation(streams)[:batch]
        expected = Answer(alone.outputs[:, chosen], alone.final_state[chosen])
        actual = runner.run(_rows(case, chosen))
        cases += _named(f"batch {batch}", _compare(actual, expected, tolerances))
    compared = f"{streams} streams alone and in batches of {min(batches)} to {streams}"
    return worst_of("batch company", compared + _manner(tolerances), cases)


def check_chunking(
    runners: Sequence[Runner], network: Network, steps: int, tolerances: Tolerances | None
) -> Comparison:
    """Step by step, and cut in two at every step, against the whole run.

    Args:
        runners: engines that take turns chunk by chunk, so that a state hidden in one shows.
        network: for the scale of the inputs.
        steps: of the whole run.
        tolerances: None is bit for bit.
    """
    case = draw_case(network, steps, 3, np.random.default_rng(3))
    whole = runners[0].run(case)
    cuts = {f"cut at {cut}": [cut] for cut in range(1, steps)}
    cuts["step by step"] = list(range(1, steps))
    cases = []
    for name, places in cuts.items():
        actual = _run_chunks(runners, case, places)
        cases += _named(name, _compare(actual, whole, tolerances))
    compared = f"{steps} steps whole, in two at any step, step by step"
    return worst_of("chunking", compared + _manner(tolerances), cases)


def check_lengths(
    runner: LengthsRunner, network: Network, steps: int, tolerances: Tolerances
) -> Comparison:
    """Streams of different lengths in one call against the float64 reference of each."""
    case = draw_case(network, steps, 5, np.random.default_rng(4))
    lengths = np.linspace(1, steps, 5).astype(np.int32)
    actual = runner.run_lengths(case, lengths)
    cases = []
    for row, length in enumerate(lengths):
        expected = answer(network, Case(case.inputs[:length, [row]], case.state[[row]]))
        own = Answer(actual.outputs[:length, [row]], actual.final_state[[row]])
        cases += _named(f"length {length}", _compare(own, expected, tolerances))
    return worst_of("lengths", f"lengths {lengths.tolist()} in one call, against float64", cases)


def _compare(
    actual: Answer, expected: Answer, tolerances: Tolerances | None
) -> tuple[Comparison, Comparison]:
    """Compares outputs, and final states."""
    if tolerances is None:
        return (
            compare_bits(actual.outputs, expected.outputs, _OUTPUT_AXES),
            compare_bits(actual.final_state, expected.final_state, _STATE_AXES),
        )
    return (
        compare_close(actual.outputs, expected.outputs, tolerances.outputs, _OUTPUT_AXES),
        compare_close(actual.final_state, expected.final_state, tolerances.state, _STATE_AXES),
    )


def _named(name: str, comparisons: Iterable[Comparison]) -> list[tuple[str, Comparison]]:
    return [(name, comparison) for comparison in comparisons]


def _manner(tolerances: Tolerances | None) -> str:
    return ", bit for bit" if tolerances is None else ""


def _rows(case: Case, rows: Rows) -> Case:
    return Case(case.inputs[:, rows], case.state[rows])


def _stack(answers: Iterable[Answer]) -> Answer:
    """Puts answers side by side as one batch."""
    found = list(answers)
    return Answer(
        np.concatenate([one.outputs for one in found], axis=1),
        np.concatenate([one.final_state for one in found]),
    )


def _run_chunks(runners: Sequence[Runner], case: Case, cuts: Sequence[int]) -> Answer:
    """Runs a case in chunks, each with the state that the one before it left."""
    state, outputs = case.state, []
    for index, inputs in enumerate(np.split(case.inputs, cuts)):
        part = runners[index % len(runners)].run(Case(inputs, state))
        state = part.final_state.astype(np.float32)
        outputs.append(part.outputs)
    return Answer(np.concatenate(outputs), state)


def _weights(network: Network) -> list[tuple[str, Array]]:
    """All weights of a network by name."""
    own = [(field.name, getattr(network, field.name)) for field in fields(network)]
    found = [(name, value) for name, value in own if isinstance(value, np.ndarray)]
    for index, layer in enumerate(network.layers):
        found += [(f"layers.{index}.{f.name}", getattr(layer, f.name)) for f in fields(layer)]
    return found


def _axes(weight: Array) -> tuple[str, ...]:
    return ("row", "column")[: weight.ndim]
