"""Real artefacts, exported once for all tests of the service."""

from collections.abc import Callable
from pathlib import Path

import pytest
from random_artefact import export_random

from service.artifacts import artifact
from service.artifacts.artifact import Artifact

MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a repository with one random model and gives the model's path."""

    def make(**network: object) -> Path:
        return export_random(tmp_path_factory.mktemp("repository"), **network)

    return make


@pytest.fixture(scope="session")
def model_path(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture(scope="session")
def loaded(model_path: Path) -> Artifact:
    return artifact.load(model_path)
