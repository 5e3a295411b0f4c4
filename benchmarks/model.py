"""The model that a benchmark serves: random weights of one seed, proven in short.

Owns its sizes and its place in a model repository.
"""

from pathlib import Path
from typing import NamedTuple

from export.exporter import export_model
from export.proof import ProofSettings
from export.random_model import random_model, random_network

NAME = "benchmark"


class Sizes(NamedTuple):
    """How wide and deep a network is."""

    features: int = 32
    hidden: int = 128
    layers: int = 2
    outputs: int = 8

    def __str__(self) -> str:
        """Input, hidden units and layers, as the results name them."""
        return f"({self.features},{self.hidden},{self.layers})"


USUAL = Sizes()
# A thorough proof is a test of the exporter and takes longer than a quick benchmark.
_SHORT = ProofSettings(reference_steps=50, reference_batches=(1, 64), chunked_steps=8)


def path(repository: Path) -> Path:
    """Where the model stands in a repository."""
    return repository / NAME / "1" / "model.onnx"


def make(repository: Path, seed: int = 0, sizes: Sizes = USUAL) -> None:
    """Writes the model into an empty repository; equal seeds give equal weights."""
    path(repository).parent.mkdir(parents=True)
    network = random_network(*sizes, seed=seed)
    export_model(random_model(network, NAME), path(repository), settings=_SHORT)
