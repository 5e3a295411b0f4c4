"""Makes artefacts from fitted networks: build, prove, and only then write.

Owns the order of these three. Knows nothing of commands.
"""

from importlib import metadata
from pathlib import Path

import onnx

from export import manifest, runtime
from export.artifact import Artifact, seal, serialize, write_file
from export.errors import ProofError
from export.forms import STEP, Form
from export.golden import make_golden
from export.proof import THOROUGH, Proof, ProofSettings, Watch, prove
from protos.content import content_digest
from training.trained import TrainedModel


def make_artifact(
    model: TrainedModel,
    form: Form = STEP,
    settings: ProofSettings = THOROUGH,
    watch: Watch = iter,
) -> tuple[Artifact, Proof]:
    """Builds an artefact and tries to prove it; its manifest carries the report.

    Args:
        model: the fitted network and where it came from.
        form: of the graph.
        settings: how thorough the proof is.
        watch: passes each comparison on as soon as it is made, to show progress.

    Raises:
        RunError: the model contradicts itself.
        FormError: the form would make it worse.
    """
    form.check_worth(model.network)
    graph = form.build(model.network)
    digest = content_digest(serialize(graph))
    golden = make_golden(model.network, form)
    described = manifest.describe(model, digest, golden, _versions(), form.precision)
    artifact = Artifact(graph, described)
    proof = prove(artifact, model.network, settings, watch)
    described.validation.CopyFrom(proof.report)
    return artifact, proof


def require(proof: Proof) -> None:
    """Refuses what is not proven.

    Raises:
        ProofError: names the first comparison that failed.
    """
    if not proof.failures:
        return
    first = proof.failures[0]
    raise ProofError(
        f"{len(proof.failures)} of {len(proof.comparisons)} checks failed, and the model must not "
        f"be served; {first.check}: worst error {first.worst_error:.1e}, tolerance "
        f"{first.tolerance:.1e}, at {first.where}"
    )


def export_model(
    model: TrainedModel, path: Path, form: Form = STEP, settings: ProofSettings = THOROUGH
) -> Proof:
    """Builds, proves and writes one artefact.

    Raises:
        RunError: the model contradicts itself.
        FormError: the form would make it worse.
        ProofError: a check failed; nothing was written.
        OutputError: the path can't be written.
    """
    artifact, proof = make_artifact(model, form, settings)
    require(proof)
    write_file(path, seal(artifact))
    return proof


def _versions() -> dict[str, str]:
    return {
        "statewise": metadata.version("statewise"),
        "onnx": onnx.__version__,
        "onnxruntime": runtime.version(),
    }
