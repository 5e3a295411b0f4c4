"""What to score, and how: checked when it is built.

Owns the options and their reasons. Knows nothing of how they are carried out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from service.errors import SettingsError, TableError
from service.offline.rejected import OnError
from service.settings import Provider, within

EngineKind = Literal["local", "ray"]


@dataclass(frozen=True)
class Job:
    """What to score.

    Attributes:
        model: a model.onnx, or the folder of a model, whose newest version is taken.
        input: a Parquet, CSV or Arrow file, one row a step, or a folder of such files.
        output: the Parquet file to write.
        entity: column that says whose step a row is.
        order: column whose values grow from step to step of an entity.
        provider: execution provider. CPU, whose bits are those of serving.
        max_batch: rows of one call. Throughput is flat from 96 up; wider calls share out what a
            call costs besides.
        memory: megabytes of all processes together, beyond what their libraries take.
        workers: processes that score, one a core.
        on_error: what is done about a bad row.
        rejected: where bad rows go; None for a name made of the output's.
        resume: whether to go on with what an interrupted run has left.
        state_in: states to begin with; None where every entity begins anew.
        state_out: where the states go in the end; None for nowhere.
        engine: this machine's processes, or a Ray cluster's actors.
    """

    model: Path
    input: Path
    output: Path
    entity: str
    order: str
    provider: Provider = "cpu"
    max_batch: int = 256
    memory: int = 400
    workers: int = 1
    on_error: OnError = "fail"
    rejected: Path | None = None
    resume: bool = False
    state_in: Path | None = None
    state_out: Path | None = None
    engine: EngineKind = "local"

    def __post_init__(self) -> None:
        """Refuses what could not be scored, or would overwrite the input."""
        within("max_batch", self.max_batch, 1, 65_536)
        # The library that sorts needs some 100 MB to begin with.
        within("memory", self.memory, 200, 1_000_000)
        within("workers", self.workers, 1, 1_024)
        if self.on_error not in get_args(OnError):
            raise SettingsError(
                f"on_error is {self.on_error!r}; take one of {', '.join(get_args(OnError))}"
            )
        read = {"the input": self.input, "the file of states to begin with": self.state_in}
        written = [self.output, self.state_out]
        written += [self.rejected_path] if self.on_error != "fail" else []
        seen: set[Path] = set()
        for path in filter(None, written):
            _check_written(path, read)
            if path.resolve() in seen:
                raise TableError(f"{path}: is to be two files at once; name another for one")
            seen.add(path.resolve())

    @property
    def rejected_path(self) -> Path:
        """Where bad rows go."""
        return self.rejected or self.output.with_suffix(".rejected.parquet")


def _check_written(path: Path, read: dict[str, Path | None]) -> None:
    if path.suffix.lower() != ".parquet":
        raise TableError(
            f"{path}: ends in {path.suffix!r}; the output is Parquet: let its name end in .parquet"
        )
    if path.is_dir():
        raise TableError(f"{path}: is a folder; name a file in it")
    for role, other in read.items():
        if other is None:
            continue
        if path.resolve() == other.resolve():
            raise TableError(f"{path}: is {role} too; write to another file")
        if other.is_dir() and other.resolve() in path.resolve().parents:
            raise TableError(f"{path}: is in the folder of {role}; write to another folder")
