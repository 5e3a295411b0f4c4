"""The same scoring on Ray Data: entities hashed to actors, one engine each.

Owns the only import of ray. Files are read where Ray puts that, rows travel to the actor of their
entity, and parts come back as they are on one machine. Every path has to be the same on all
machines of the cluster.
"""

import logging
import math
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray import data

from service.artifacts import artifact
from service.errors import ServiceError
from service.models.selftest import SelfTest
from service.offline import rejected
from service.offline.inputs import open_inputs
from service.offline.plan import Task
from service.offline.scoring import Setting, make_scorer, model_file, prove
from service.offline.separated import BrokenLine
from service.offline.steps import Block, make_block
from service.offline.stream import HeldReader, Stream
from service.offline.survey import listen
from service.offline.task import read_tally
from service.offline.work import Work
from service.runtime.engine import Engine

_BUCKET, _FILE = "bucket", "file"
# More than one, so that actors which are quick take over from slow ones.
_BUCKETS_A_WORKER = 4
_KEYS = ("entity", "order", "file", "number")


def run(
    setting: Setting,
    proven: tuple[Engine, SelfTest],
    tasks: Sequence[int],
    report: Callable[[int, int], object],
) -> Iterator[int]:
    """Does tasks, each of them a bucket of entities, on the actors of a cluster.

    Args:
        setting: of the job; a task's bounds say nothing, only how many there are.
        proven: the model on this machine, for buckets that are empty.
        tasks: numbers of those that are not done.
        report: is told of rows and of entities that are done.

    Yields:
        The number of each task when it is done.

    Raises:
        ServiceError: what a task has raised.
    """
    folder, left = Work(setting.folder), set(tasks)
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    with _plain_errors():
        for row in _parts(setting, tasks).iter_rows():
            number = int(row[_BUCKET])
            with folder.making(number) as part:
                for name, content in zip(row["names"], row["contents"], strict=True):
                    (part / name).write_bytes(content)
            tally = read_tally(folder.part(number))
            report(tally.rows, tally.entities)
            left.discard(number)
            yield number
    for number in sorted(left):
        with folder.making(number) as part:
            _score(setting, proven, _nothing(setting), part)
        yield number


def buckets(rows: int, window: int, workers: int) -> tuple[Task, ...]:
    """Tasks for so many rows, none of which outgrows a window where entities are short."""
    count = max(_BUCKETS_A_WORKER * workers, math.ceil(2 * rows / window))
    return (Task(0, 0),) * count


def _nothing(setting: Setting) -> Block:
    form = setting.shape.form
    return form.unpack(form.schema.empty_table().to_batches()[0])


def _parts(setting: Setting, tasks: Sequence[int]) -> data.Dataset:
    """A row for each bucket that has entities: the files of its part."""
    data.DataContext.get_current().enable_progress_bars = False
    files = range(len(setting.shape.offsets) - 1)
    given = (setting, tuple(tasks))
    shuffled: data.Dataset = (
        data.from_items([{_FILE: number} for number in files], override_num_blocks=len(files))
        .map_batches(cast(Any, _read), fn_args=given, batch_size=1, batch_format="pyarrow")
        .repartition(len(tasks), keys=[_BUCKET])
        # Before the actors begin: on a small cluster they would keep the shuffle from its cores.
        .materialize()
    )
    parts: data.Dataset = shuffled.map_batches(
        _Actor,
        fn_constructor_args=(setting,),
        compute=data.ActorPoolStrategy(size=setting.job.workers),
        batch_size=None,
        batch_format="pyarrow",
    )
    return parts


def _read(batch: pa.Table, setting: Setting, tasks: tuple[int, ...]) -> Iterator[pa.Table]:
    """The steps of files, checked, each with its entity's bucket, where that is one of some."""
    inputs, shape = open_inputs(setting.job.input), setting.shape
    files = [file.path for file in inputs.files]
    listen(inputs, _let_be)
    for number in batch.column(_FILE).to_pylist():
        for piece in inputs.pieces(shape.columns.names, number, 0):
            if piece.file != number:
                break
            block = make_block(piece.rows, shape.columns, shape.order_type, piece.file, piece.first)
            if setting.job.on_error == "fail" and not block.good.all():
                raise rejected.error(block, int(np.argmin(block.good)), files)
            packed = pa.Table.from_batches([shape.form.pack(block)])
            bucket = _bucket(packed.column("entity"), len(setting.tasks))
            open_ = pc.is_in(bucket, value_set=pa.array(tasks, pa.int64()))
            yield packed.append_column(_BUCKET, bucket).filter(open_)


def _bucket(entities: pa.ChunkedArray, count: int) -> pa.Array:
    """The bucket of each entity, the same in every process."""
    encoded = pa.concat_arrays(entities.chunks).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    hashes = [zlib.crc32(repr(name).encode()) % count for name in names]
    return pa.array(hashes, pa.int64()).take(encoded.indices)


def _let_be(_file: int, _line: BrokenLine) -> None:
    """Whoever looked at the input has told of lines that are no rows."""


class _Actor:
    """One engine, and what it makes of buckets."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._proven = prove(artifact.load(model_file(setting.job.model)), setting.job)

    def __call__(self, block: pa.Table) -> pa.Table:
        """The files of the parts of some buckets, each of which is here as a whole."""
        numbers = pc.unique(block.column(_BUCKET)).to_pylist() if len(block) else []
        parts = [self._part(block.filter(pc.field(_BUCKET) == number)) for number in numbers]
        return pa.table(
            {
                _BUCKET: pa.array(numbers, pa.int64()),
                "names": pa.array([list(part) for part in parts], pa.list_(pa.string())),
                "contents": pa.array(
                    [list(part.values()) for part in parts], pa.list_(pa.large_binary())
                ),
            }
        )

    def _part(self, bucket: pa.Table) -> dict[str, bytes]:
        form = self._setting.shape.form
        rows = bucket.select(form.schema.names).cast(form.schema)
        rows = rows.sort_by([(key, "ascending") for key in _KEYS]).combine_chunks()
        steps = form.unpack(rows.to_batches()[0])
        with tempfile.TemporaryDirectory() as folder:
            _score(self._setting, self._proven, steps, Path(folder))
            return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _score(setting: Setting, proven: tuple[Engine, SelfTest], steps: Block, folder: Path) -> None:
    """Scores the steps of a bucket, whole, into a folder."""
    whole = replace(setting, window=max(1, len(steps)))
    scorer = make_scorer(whole, Stream(HeldReader(steps)), proven)
    scorer.score(Task(0, len(steps)), folder, lambda rows: None)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raises what a task has raised, without what Ray wraps it in."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and type(cause) not in _kinds(ServiceError):
            cause = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def _kinds(kind: type[BaseException]) -> set[type[BaseException]]:
    """A class and all that descend from it; Ray makes more of them, which are none of ours."""
    found = {kind}
    for one in kind.__subclasses__():
        found |= _kinds(one)
    return {one for one in found if one.__module__ == kind.__module__}
