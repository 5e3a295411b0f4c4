"""Models ready to serve, found by name and version.

Owns the look-up. Knows nothing of files and streams.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.arena import Arena
from service.artifact import Artifact
from service.batcher import Batcher
from service.errors import NotFound, shorten
from service.metrics import ModelMetrics
from service.selftest import SelfTest


@dataclass(frozen=True)
class ServedModel:
    """One version of a model, with everything that its streams need.

    Attributes:
        max_chunk_steps: largest number of steps that one of its chunks may carry.
    """

    name: str
    version: int
    artifact: Artifact
    self_test: SelfTest
    arena: Arena
    batcher: Batcher
    metrics: ModelMetrics
    max_chunk_steps: int


class Models:
    """The served models, found by name and version."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Takes models of any order."""
        self._models: dict[str, dict[int, ServedModel]] = {}
        for model in models:
            self._models.setdefault(model.name, {})[model.version] = model

    def __iter__(self) -> Iterator[ServedModel]:
        """Every version of every model."""
        return (model for versions in self._models.values() for model in versions.values())

    def find(self, name: str, version: str = "") -> ServedModel:
        """A model by name, the newest version unless one is named.

        Raises:
            NotFound: with reason MODEL_NOT_FOUND or VERSION_NOT_FOUND.
        """
        versions = self._models.get(name)
        if versions is None:
            known = ", ".join(sorted(self._models))
            raise NotFound(
                f"model is {shorten(name)!r}; this server has {known}",
                reason="MODEL_NOT_FOUND",
                model=shorten(name),
            )
        if not version:
            return versions[max(versions)]
        for number, model in versions.items():
            if version == str(number):
                return model
        known = ", ".join(map(str, sorted(versions)))
        raise NotFound(
            f"version of {name} is {shorten(version)!r}; this server has {known}",
            reason="VERSION_NOT_FOUND",
            model=name,
            version=shorten(version),
        )
