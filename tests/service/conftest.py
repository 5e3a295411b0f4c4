"""Real artefacts, exported once for all tests of the service."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.exporter import export_model
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from service import artifact
from service.artifact import Artifact

QUICK = ProofSettings(
    reference_steps=50, reference_batches=(1, 3), company_batches=(2, 5), chunked_steps=6
)
MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a repository with one random model and gives the model's path."""

    def make(
        features: int = 5,
        hidden: int = 16,
        layers: int = 2,
        outputs: int = 3,
        name: str = "random",
        **network: object,
    ) -> Path:
        path = tmp_path_factory.mktemp("repository") / name / "1" / "model.onnx"
        model = random_model(random_network(features, hidden, layers, outputs, **network), name)
        export_model(model, path, settings=QUICK)
        return path

    return make


@pytest.fixture(scope="session")
def model_path(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture(scope="session")
def loaded(model_path: Path) -> Artifact:
    return artifact.load(model_path)
