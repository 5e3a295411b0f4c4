"""The folder of a run that is not done: its plan, and the parts that are.

Owns what makes a run go on where it was killed: the plan stands before the first part, a part
stands whole or not at all, and both belong to the very run that asks. It lies beside the output
and goes when the output is whole.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from service.errors import TableError
from service.offline.plan import Task
from service.offline.rejected import Homeless

_PLAN, _SORTED, _LOCK, _WORKERS = "plan.json", "sorted.arrow", "lock", "workers.lock"


@dataclass(frozen=True)
class Plan:
    """What a run does, settled before it scores.

    Attributes:
        identity: everything that its output depends on.
        entity_type, order_type: of the keys.
        offsets: position of each input file's first row, and of the end.
        is_sorted: whether the input is read as it stands; otherwise the folder has it sorted.
        rows, entities: how many there are.
        homeless: rows without an entity.
        window: most rows of a task of several entities.
        tasks: in the order of the output.
    """

    identity: dict[str, object]
    entity_type: pa.DataType
    order_type: pa.DataType
    offsets: tuple[int, ...]
    is_sorted: bool
    rows: int
    entities: int
    homeless: tuple[Homeless, ...]
    window: int
    tasks: tuple[Task, ...]


class Work:
    """The folder, held by one run at a time."""

    def __init__(self, path: Path) -> None:
        """Names it; `held` makes it."""
        self.path = path
        self.sorted_path = path / _SORTED

    def join(self) -> None:
        """Makes later runs wait for the end of this process, should it outlive its own run."""
        # Nobody closes it: the lock ends with the process.
        fcntl.flock(os.open(self.path / _WORKERS, os.O_CREAT | os.O_RDWR), fcntl.LOCK_SH)

    def await_workers(self) -> None:
        """Waits for processes of a run that was killed, which end when they see that it is gone."""
        with (self.path / _WORKERS).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    @property
    def parts(self) -> Path:
        """Where parts stand."""
        return self.path / "parts"

    def part(self, number: int) -> Path:
        """Where a part stands, once it is whole."""
        return self.parts / f"{number:06}"

    def done(self, number: int) -> bool:
        """Whether a part is whole."""
        return self.part(number).is_dir()

    @contextlib.contextmanager
    def making(self, number: int) -> Iterator[Path]:
        """A folder for a part; it stands as the part if the block ends well."""
        temporary = self.parts / f".{number:06}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.iterdir():
            _sync(path)
        temporary.rename(self.part(number))
        _sync(self.parts)

    def keep(self, plan: Plan) -> None:
        """Writes the plan; from now on the run can be gone on with."""
        keys = pa.schema([("entity", plan.entity_type), ("order", plan.order_type)])
        content = {
            **asdict(plan),
            "homeless": [[str(row.file), *_rest(row)] for row in plan.homeless],
            "tasks": [[task.start, task.stop] for task in plan.tasks],
            "keys": keys.serialize().to_pybytes().hex(),
        }
        content.pop("entity_type")
        content.pop("order_type")
        temporary = self.path / f".{_PLAN}"
        temporary.write_text(json.dumps(content))
        _sync(temporary)
        temporary.rename(self.path / _PLAN)

    def plan(self) -> Plan | None:
        """The plan of the run that was interrupted; None where there is none."""
        try:
            content = json.loads((self.path / _PLAN).read_text())
        except FileNotFoundError:
            return None
        keys = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(content.pop("keys"))))
        content["offsets"] = tuple(content["offsets"])
        content["homeless"] = tuple(
            Homeless(Path(file), *rest) for file, *rest in content["homeless"]
        )
        content["tasks"] = tuple(Task(*bounds) for bounds in content["tasks"])
        return Plan(entity_type=keys.field(0).type, order_type=keys.field(1).type, **content)

    def clear(self) -> bool:
        """Drops everything that a run has left; whether it was worth something."""
        kept = (self.path / _PLAN).exists()
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (_LOCK, _WORKERS):
                path.unlink()
        return kept

    def drop(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def held(output: Path) -> Iterator[Work]:
    """The work folder of an output, which no other run may have meanwhile.

    Raises:
        TableError: another run has it, or it can't be made.
    """
    work = Work(output.with_name(f".{output.name}.work"))
    try:
        work.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(work.path / _LOCK, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise TableError(
            f"{output}: can't be written: {error.strerror or error}; name another"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TableError(f"{output}: another run writes it; wait for its end") from None
    else:
        work.await_workers()
        yield work
    finally:
        os.close(lock)


def _rest(row: Homeless) -> list[object]:
    return [row.row, row.column, row.problem]


def _sync(path: Path) -> None:
    """What was written outlives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
