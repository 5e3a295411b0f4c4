"""Models ready to serve, found by name and version.

Owns the look-up. Knows nothing of files and streams.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from service.artifacts.artifact import Artifact
from service.errors import NotFound, shorten
from service.metrics import ModelMetrics
from service.models.selftest import SelfTest
from service.tensors import Layout, Signature
from service.tick.advance import States
from service.tick.batcher import Batcher


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
    arena: States
    batcher: Batcher
    metrics: ModelMetrics
    max_chunk_steps: int
    signature: Signature
    provider: str = "cpu"

    @cached_property
    def input_layout(self) -> Layout:
        """How a step's inputs and controls stand in a row."""
        return self.signature.input_layout()

    @cached_property
    def output_layout(self) -> Layout:
        """How a step's outputs stand in a row."""
        return self.signature.output_layout()

    @cached_property
    def state_layout(self) -> Layout:
        """How a stream's states stand in a row."""
        return self.signature.state_layout()


class Models:
    """The served models, found by name and version."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Takes models of any order."""
        self._models: dict[str, dict[int, ServedModel]] = {}
        for model in models:
            self.add(model)

    def add(self, model: ServedModel) -> ServedModel | None:
        """Serves a version from now on; returns the one that it takes the place of."""
        versions = self._models.setdefault(model.name, {})
        before = versions.get(model.version)
        versions[model.version] = model
        return before

    def remove(self, model: ServedModel) -> None:
        """Opens no stream with this version any more."""
        versions = self._models.get(model.name, {})
        if versions.get(model.version) is model:
            del versions[model.version]
        if not versions:
            self._models.pop(model.name, None)

    def versions(self, name: str) -> list[ServedModel]:
        """The versions of a model that are ready, the newest last; none where it has none."""
        versions = self._models.get(name, {})
        return [versions[number] for number in sorted(versions)]

    def __iter__(self) -> Iterator[ServedModel]:
        """Every version of every model."""
        return iter([model for versions in self._models.values() for model in versions.values()])

    def find(self, name: str, version: str = "") -> ServedModel:
        """A model by name, the newest version unless one is named.

        Raises:
            NotFound: with reason MODEL_NOT_FOUND or VERSION_NOT_FOUND.
        """
        versions = self._models.get(name)
        if versions is None:
            known = ", ".join(sorted(self._models)) or "none"
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
