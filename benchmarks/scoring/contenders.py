"""What is measured: ways to score the same entities, each with what it had to compute.

Owns their code, as plain as users write it, but for our own. Knows nothing of tables of figures.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import torch
from numpy.typing import NDArray

from benchmarks.processes import ROOT
from benchmarks.scoring.workload import ENTITY, ORDER, Workload
from service.artifacts import artifact
from service.offline.budget import Budget, even
from service.offline.columns import Columns
from service.offline.job import Job
from service.offline.plan import Planner
from service.offline.results import read_part
from service.offline.scoring import Setting, make_scorer, prove
from service.offline.steps import Block
from service.offline.stream import HeldReader, Shape, Stream
from service.offline.task import ANSWERS
from service.runtime.engine import Engine
from training.convert import to_torch_gru

Float32 = NDArray[np.float32]
_BATCHES = (32, 64, 96, 128, 192, 256, 384)
_WIDEST = max(_BATCHES)
_TORCH_BATCH = 64
_LONGEST_SECONDS = 600


class Bare:
    """Calls on the step graph, and nothing between them."""

    def __init__(self, work: Workload) -> None:
        """Opens a session; its inputs are steps of the table."""
        self._engine = Engine(artifact.load(work.step_model), provider="cpu", max_batch=_WIDEST)
        self._engine.inputs[:] = np.resize(work.features, self._engine.inputs.shape)

    def best_batch(self, seconds: float) -> int:
        """The batch at which steps a second are most."""
        return max(_BATCHES, key=lambda batch: self.rate(batch, seconds / len(_BATCHES)))

    def rate(self, batch: int, seconds: float) -> float:
        """Steps a second of calls of so many rows."""
        calls, started = 0, time.perf_counter()
        while (now := time.perf_counter()) - started < seconds:
            self._engine.step(batch)
            calls += 1
        return calls * batch / (now - started)


class Lanes:
    """Statewise from steps in memory to a part on disk: everything but reading."""

    def __init__(self, work: Workload) -> None:
        """Proves the model; puts the steps in memory."""
        features = artifact.load(work.step_model).features
        columns = Columns(ENTITY, ORDER, features)
        shape = Shape(columns, pa.int64(), pa.int64(), (0, len(work.features)))
        job = Job(work.step_model, work.table, work.folder / "unused.parquet", ENTITY, ORDER)
        self._rows = len(work.features)
        proven = prove(artifact.load(work.step_model), job)
        window = even(self._rows, Budget(job, proven[0].artifact).window_rows(), 1)
        setting, block = Setting(job, shape, (), window, work.folder), _block(work)
        self.scorer = make_scorer(setting, Stream(HeldReader(block)), proven)
        planner = Planner(window)
        planner.add(block.entities, block.order, np.arange(self._rows))
        planner.end(self._rows)
        self.tasks = planner.tasks

    def run(self) -> tuple[float, Float32]:
        """Seconds, and the answers to all steps, (rows, outputs)."""
        seconds, answers = 0.0, []
        for task in self.tasks:
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                self.scorer.score(task, Path(folder), lambda rows: None)
                seconds += time.perf_counter() - started
                answers += [_matrix(batch) for batch in read_part(Path(folder) / ANSWERS)]
        return seconds, np.concatenate(answers)


def _block(work: Workload) -> Block:
    rows = len(work.features)
    owners = np.repeat(np.arange(len(work.lengths)), work.lengths)
    nothing = pa.nulls(rows, pa.string())
    return Block(
        pa.array(owners),
        pa.array(np.arange(rows) - work.starts[owners]),
        work.features,
        np.zeros(rows, np.int32),
        np.arange(rows),
        nothing,
        nothing,
    )


def _matrix(batch: pa.RecordBatch) -> Float32:
    columns = [column.to_numpy() for column in batch.columns if column.type == pa.float32()]
    return np.stack(columns, axis=1)


def session_an_entity(work: Workload, entities: int) -> tuple[float, Float32]:
    """One call of the fused GRU graph for each entity."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        work.fused_model, options, providers=["CPUExecutionProvider"]
    )
    names = [one.name for one in session.get_inputs()]
    state = np.zeros((1, session.get_inputs()[2].shape[1]), np.float32)

    def score(steps: Float32) -> Float32:
        lengths = np.array([len(steps)], np.int32)
        feed = dict(zip(names, (steps[:, np.newaxis], lengths, state), strict=True))
        outputs: Float32 = session.run(None, feed)[0][:, 0]
        return outputs

    return _timed(lambda: [score(steps) for steps in work.first(entities)])


def torch_padded(work: Workload, entities: int) -> tuple[float, Float32]:
    """torch.nn.GRU over batches of entities, each padded to the longest of its batch."""
    network = work.network
    gru = to_torch_gru(network.layers, bias=True).float()
    mean, scale, weight, bias = (
        torch.tensor(values, dtype=torch.float32)
        for values in (
            network.input_mean,
            network.input_scale,
            network.head_weight,
            network.head_bias,
        )
    )

    def score() -> list[Float32]:
        answers: list[Float32] = []
        steps = work.first(entities)
        for start in range(0, entities, _TORCH_BATCH):
            batch = [torch.from_numpy(one) for one in steps[start : start + _TORCH_BATCH]]
            padded = torch.nn.utils.rnn.pad_sequence(batch)
            hidden, _ = gru((padded - mean) / scale)
            outputs = torch.softmax(hidden @ weight.T + bias, dim=-1)
            answers += [outputs[: len(one), i].numpy() for i, one in enumerate(batch)]
        return answers

    torch.set_num_threads(1)
    with torch.inference_mode():
        return _timed(score)


def _timed(score: Callable[[], Sequence[Float32]]) -> tuple[float, Float32]:
    started = time.perf_counter()
    answers = score()
    return time.perf_counter() - started, np.concatenate(answers)


def command(work: Workload, workers: int) -> float:
    """Seconds of `python -m service score`, from file to file, starting included."""
    output = work.folder / f"answers{workers}.parquet"
    options = [
        *("--model", work.step_model, "--input", work.table, "--output", output),
        *("--entity", ENTITY, "--order", ORDER, "--workers", workers),
    ]
    return _seconds([sys.executable, "-m", "service", "score", *map(str, options)])


def ray_plain(work: Workload) -> float:
    """Seconds of Ray Data with the plain approach, on both cores, starting included."""
    output = work.folder / "ray"
    given = [work.parts, work.fused_model, output]
    return _seconds([sys.executable, "-m", "benchmarks.scoring.plain_ray", *map(str, given)])


def _seconds(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=_LONGEST_SECONDS)
    return time.perf_counter() - started
