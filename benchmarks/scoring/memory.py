"""How much memory a score takes of a table that is many times larger: sorted, and mixed.

Owns the tables of the proof, and the process that measures itself. Knows nothing of how memory is
kept low.
"""

import contextlib
import importlib
import io
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.errors import BenchmarkError
from benchmarks.processes import ROOT
from benchmarks.scoring.workload import ENTITY, ORDER, SHORT
from export.exporter import export_model
from export.random_model import random_model, random_network

Company = Literal["sorted", "mixed"]
_BYTES_OF_A_MEGABYTE = 1_000_000
_FLOAT_BYTES = 4
_GROUP_ROWS = 131_072
# Few enough that a column is kept as a dictionary: the file is small, its rows are not.
_DISTINCT = 16
FEATURES = 128
_STEPS = 1_000
# What a score uses whatever its input.
_LIBRARIES = ("service.offline.score", "duckdb", "onnxruntime", "pyarrow.parquet")
_LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Measured:
    """What a score took.

    Attributes:
        megabytes: most resident memory beyond what there was when libraries had been imported.
        rows: scored.
        seconds: of the score, without importing the libraries.
    """

    megabytes: float
    rows: int
    seconds: float


def make(path: Path, megabytes: int, features: int, company: Company) -> int:
    """Writes a table whose features take so much memory as float32; how many rows it has."""
    random = np.random.default_rng(1)
    groups = max(1, megabytes * _BYTES_OF_A_MEGABYTE // (_FLOAT_BYTES * features * _GROUP_ROWS))
    rows = groups * _GROUP_ROWS
    places = np.arange(rows) if company == "sorted" else random.permutation(rows)
    levels = random.standard_normal(_DISTINCT).astype(np.float32)
    names = [f"feature_{number}" for number in range(features)]
    columns = [levels[random.integers(0, _DISTINCT, _GROUP_ROWS)] for _ in names]
    keys = {ENTITY: pa.int64(), ORDER: pa.int64()}
    form = pa.schema({**keys, **dict.fromkeys(names, pa.float32())})
    with parquet.ParquetWriter(path, form, use_dictionary=names) as file:
        for group in places.reshape(groups, _GROUP_ROWS):
            # Other values in each group, without drawing them anew.
            columns.append(columns.pop(0))
            arrays = [group // _STEPS, group % _STEPS, *columns]
            file.write_table(pa.Table.from_arrays(list(map(pa.array, arrays)), schema=form))
    return rows


def make_model(folder: Path) -> Path:
    """A model of many features that hardly computes: rows are wide, and it is they that count."""
    path = folder / "wide" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    export_model(random_model(random_network(FEATURES, 4, 1, 2), "wide"), path, settings=SHORT)
    return path


def entities(rows: int) -> int:
    """How many entities a table of so many rows has."""
    return -(-rows // _STEPS)


def measure(model: Path, table: Path, output: Path, memory: int) -> Measured:
    """Scores a table in a process of its own, which tells of itself.

    Raises:
        BenchmarkError: the score failed; the message ends with its last words.
    """
    options = [
        *("score", "--model", model, "--input", table, "--output", output),
        *("--entity", ENTITY, "--order", ORDER, "--memory", memory),
    ]
    command = [sys.executable, "-m", "benchmarks.scoring.memory", *map(str, options)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_SECONDS
    )
    if done.returncode:
        raise BenchmarkError(f"score of {table.name} failed: {done.stderr.strip()[-500:]}")
    megabytes, seconds = map(float, done.stdout.split())
    return Measured(megabytes, parquet.read_metadata(output).num_rows, seconds)


def _main(arguments: Sequence[str]) -> int:
    """Runs a score; prints megabytes and seconds that it took."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    # Its first array of NumPy's numbers makes pyarrow import pandas, where that is installed.
    pa.array(np.zeros(1))
    main = importlib.import_module("service.__main__").main
    with contextlib.redirect_stdout(io.StringIO()):
        before, started = _resident("VmRSS"), time.perf_counter()
        code: int = main(arguments)
    took = time.perf_counter() - started
    print((_resident("VmHWM") - before) / _BYTES_OF_A_MEGABYTE, took)
    return code


def _resident(field: str) -> int:
    """Bytes, as Linux counts this process's: those now, or the most that there were."""
    status = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
