"""The table that is scored: many entities of very different lengths, and the models for it.

Owns its size and its seed: lengths are log-normal between 1 and 5,000, as histories are. The cell
is reset-after, the one form that all contenders can compute.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from benchmarks.model import NAME, USUAL
from export import sequence_graph
from export.exporter import export_model
from export.proof import ProofSettings
from export.random_model import random_model, random_network
from training.reference import Network

ENTITY, ORDER = "device", "second"
_MEDIAN, _SPREAD, _LONGEST = 148.0, 1.2, 5_000
_FILES = 16
SHORT = ProofSettings(reference_steps=50, reference_batches=(1, 64), chunked_steps=8)


@dataclass(frozen=True)
class Workload:
    """What is scored.

    Attributes:
        folder: has steps.parquet, the same in `parts/`, and the models.
        network: of both models.
        features: (rows, features).
        starts, lengths: of each entity, (entities,).
    """

    folder: Path
    network: Network
    features: NDArray[np.float32]
    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]

    @property
    def step_model(self) -> Path:
        """The artefact that Statewise scores with."""
        return self.folder / NAME / "1" / "model.onnx"

    @property
    def fused_model(self) -> Path:
        """The same network as a fused GRU node over whole sequences."""
        return self.folder / "fused.onnx"

    @property
    def table(self) -> Path:
        """All rows in one file, sorted."""
        return self.folder / "steps.parquet"

    @property
    def parts(self) -> Path:
        """The same rows in several files, each of whole entities."""
        return self.folder / "parts"

    def first(self, entities: int) -> list[NDArray[np.float32]]:
        """The steps of some entities, each (steps, features)."""
        ends = self.starts + self.lengths
        return [self.features[self.starts[i] : ends[i]] for i in range(entities)]


def make(folder: Path, entities: int) -> Workload:
    """Writes table and models into an empty folder."""
    random = np.random.default_rng(0)
    drawn = _MEDIAN * np.exp(random.normal(0.0, _SPREAD, entities))
    lengths = np.clip(drawn, 1, _LONGEST).astype(np.intp)
    features = random.standard_normal((int(lengths.sum()), USUAL.features), np.float32)
    network = random_network(*USUAL, reset_after=True)
    work = Workload(folder, network, features, np.cumsum(lengths) - lengths, lengths)
    work.step_model.parent.mkdir(parents=True)
    export_model(random_model(network, NAME), work.step_model, settings=SHORT)
    onnx.save(sequence_graph.build(network), work.fused_model)
    _write(work)
    return work


def _write(work: Workload) -> None:
    """The table, once in one file and once in several."""
    work.parts.mkdir()
    ends = np.append(work.starts, len(work.features))
    bounds = ends[np.linspace(0, len(work.lengths), _FILES + 1).astype(int)]
    owners = np.repeat(np.arange(len(work.lengths)), work.lengths)
    orders = np.arange(len(owners)) - work.starts[owners]
    with parquet.ParquetWriter(work.table, _schema(), compression="snappy") as whole:
        for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
            rows = slice(start, stop)
            names = np.char.mod("d%07d", owners[rows])
            columns = [names, orders[rows], *work.features[rows].T]
            table = pa.Table.from_arrays(list(map(pa.array, columns)), schema=_schema())
            whole.write_table(table)
            parquet.write_table(table, work.parts / f"{number:03}.parquet")


def _schema() -> pa.Schema:
    features = [(f"feature_{i}", pa.float32()) for i in range(USUAL.features)]
    return pa.schema([(ENTITY, pa.string()), (ORDER, pa.int64()), *features])
