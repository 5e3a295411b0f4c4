"""A random model, exported where a repository has it."""

from pathlib import Path

from export.exporter import export_model
from export.proof import ProofSettings
from export.random_model import random_model, random_network

QUICK = ProofSettings(
    reference_steps=50, reference_batches=(1, 3), company_batches=(2, 5), chunked_steps=6
)


def export_random(
    repository: Path,
    features: int = 5,
    hidden: int = 16,
    layers: int = 2,
    outputs: int = 3,
    name: str = "random",
    **network: object,
) -> Path:
    """The path of the new model in the repository."""
    path = repository / name / "1" / "model.onnx"
    model = random_model(random_network(features, hidden, layers, outputs, **network), name)
    export_model(model, path, settings=QUICK)
    return path
