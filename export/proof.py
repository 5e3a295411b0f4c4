"""The proof of an artefact: all checks together, on the engine that will serve it.

Owns which checks an artefact has to pass, and how thorough they are. Knows nothing of how a check
works, and nothing of files.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from export import checks
from export.artifact import Artifact, serialize
from export.cases import answer
from export.forms import STEP_INT8, form_of
from export.golden import read_golden
from export.manifest import check_precision, check_tensor_names, check_values, sizes_of
from export.readback import read_network
from export.runtime import SequenceRunner, open_runner
from export.tensors import check_signature
from export.tolerances import Tolerances, output_ranges
from protos.statewise.v1.manifest_pb2 import Comparison, ValidationReport
from training.reference import Array, Network

_COMPANY_BATCHES = (2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 129, 255, 256)

Watch = Callable[[Iterator[Comparison]], Iterable[Comparison]]


@dataclass(frozen=True)
class ProofSettings:
    """How thorough a proof is.

    Attributes:
        reference_steps: length of each run against the reference; errors of a recurrent network
            build up, so that a short run proves little.
        reference_batches: one, two, odd and large, since engines treat each in their own way.
        company_batches: around the widths of vector registers and of matrix blocks, where the
            way of computing a row may change, up to the widest that a server makes by default.
        chunked_steps: length of the run that is cut everywhere; the cost is its square.
    """

    reference_steps: int = 1000
    reference_batches: tuple[int, ...] = (1, 2, 3, 7, 64)
    company_batches: tuple[int, ...] = _COMPANY_BATCHES
    chunked_steps: int = 48


THOROUGH = ProofSettings()


@dataclass(frozen=True)
class Proof:
    """What was compared.

    Attributes:
        comparisons: one a check.
        error_by_step: for each batch size of the runs against the reference the worst output
            error of each step, as a share of its tolerance, (steps,).
    """

    comparisons: tuple[Comparison, ...]
    error_by_step: dict[int, Array]

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that did not pass."""
        return tuple(one for one in self.comparisons if not one.passed)

    @property
    def report(self) -> ValidationReport:
        """The comparisons as the manifest carries them."""
        return ValidationReport(comparisons=self.comparisons)


def prove(
    artifact: Artifact,
    checkpoint: Network | None = None,
    settings: ProofSettings = THOROUGH,
    watch: Watch = iter,
) -> Proof:
    """Runs every check on an artefact.

    Args:
        artifact: what is to be proven.
        checkpoint: the network that it was made from; None where only the file is at hand, whose
            own weights then feed the reference.
        settings: how thorough to be.
        watch: passes each comparison on as soon as it is made, to show progress.

    Raises:
        ArtifactError: the graph is not the one that the manifest describes, or can't be loaded.
    """
    errors: dict[int, Array] = {}
    comparisons = tuple(watch(_compare_all(artifact, checkpoint, settings, errors)))
    return Proof(comparisons, errors)


def _compare_all(
    artifact: Artifact,
    checkpoint: Network | None,
    settings: ProofSettings,
    errors: dict[int, Array],
) -> Iterator[Comparison]:
    """Yields one comparison a check, and notes the errors by step on the way."""
    checker = checks.check_onnx(artifact.model)
    yield checker
    if not checker.passed:
        return
    model, manifest = artifact.model, artifact.manifest
    check_values(manifest)
    form, sizes = form_of(model), sizes_of(manifest)
    check_precision(manifest, form.precision)
    check_signature(model, form.signature(sizes))
    check_tensor_names(manifest, model)
    found = read_network(model, manifest)
    if checkpoint is not None:
        yield checks.check_weights(found, form.keep(checkpoint))

    network = found if checkpoint is None else checkpoint
    content = serialize(model)
    runners = open_runner(content, form), open_runner(content, form)
    runs = settings.reference_steps, settings.reference_batches
    reference, by_step = checks.check_reference(runners[0], network, *runs, form.measure_tolerances)
    errors.update(by_step)
    yield from reference
    golden, stored = read_golden(manifest.golden, sizes)
    expected = answer(network, golden)
    promised = manifest.golden.tolerance
    tolerances = form.measure_tolerances(network, [(golden, expected)])
    allowed = checks.float64_tolerances(output_ranges(network))
    if checkpoint is None and form is STEP_INT8:
        # Rounded weights don't tell what rounding has cost; the file says it.
        tolerances = allowed = Tolerances(np.full(sizes.outputs, promised), promised)
    yield checks.check_stored(stored, expected, allowed)
    yield checks.check_golden(runners[0], golden, stored, tolerances, promised)
    apart = None if form.exact else tolerances
    yield checks.check_company(runners[0], network, settings.company_batches, apart)
    yield checks.check_chunking(runners, network, settings.chunked_steps, apart)
    if isinstance(runners[0], SequenceRunner):
        yield checks.check_lengths(runners[0], network, settings.chunked_steps, tolerances)
