"""The model and the undisturbed run that all disturbed ones are compared with."""

from pathlib import Path

import pytest
from conversation import undisturbed
from random_artefact import export_random
from scale import SCALE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("chaos")
            item.add_marker(pytest.mark.timeout(SCALE.patience))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_random(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def expected(model_path: Path) -> list[bytes]:
    """Outputs of every stream, by its seed."""
    return undisturbed(model_path, range(SCALE.streams), SCALE.chunks)
