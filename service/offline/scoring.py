"""What a process needs to do tasks of a plan, and how it begins.

Owns the sending: a setting travels between processes, an engine does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from service.artifacts import artifact, versions
from service.artifacts.artifact import Artifact
from service.artifacts.repository import MODEL_FILE, find_versions
from service.errors import ArtifactError
from service.models import selftest
from service.models.selftest import SelfTest
from service.offline import states
from service.offline.blobs import Blobs
from service.offline.columns import Columns
from service.offline.inputs import open_inputs
from service.offline.job import Job
from service.offline.lanes import Lanes
from service.offline.plan import Task
from service.offline.states import StateFiles
from service.offline.stream import Shape, Stream, open_stream
from service.offline.task import Scorer
from service.offline.window import Rules
from service.offline.work import Plan, Work
from service.runtime.engine import Engine


@dataclass(frozen=True)
class Setting:
    """What tasks are done with.

    Attributes:
        job: as it was asked for.
        shape: how its input is read.
        tasks: all of the plan.
        window: most rows in memory.
        folder: where parts go.
    """

    job: Job
    shape: Shape
    tasks: tuple[Task, ...]
    window: int
    folder: Path

    @classmethod
    def of(cls, job: Job, columns: Columns, plan: Plan, folder: Work) -> "Setting":
        """The setting of a plan."""
        path = None if plan.is_sorted else folder.sorted_path
        shape = Shape(columns, plan.entity_type, plan.order_type, plan.offsets, path)
        return cls(job, shape, plan.tasks, plan.window, folder.path)

    @property
    def state_form(self) -> pa.Schema:
        """Columns of the files of states."""
        return states.schema(self.shape.entity_type, self.shape.order_type)


def start(
    setting: Setting, proven: tuple[Engine, SelfTest] | None = None
) -> Callable[[int, Callable[[int], object]], int]:
    """Makes ready to do tasks; the model is opened and proven where that is not done yet.

    Returns:
        What does the task of a number, is given what to call with the rows that are done, and
        returns how many entities it had.
    """
    folder, inputs = Work(setting.folder), open_inputs(setting.job.input)
    if proven is None:
        # A process of its own, which may be at work for a moment when the run has been killed.
        folder.join()
    scorer = make_scorer(setting, open_stream(inputs, setting.shape), proven)

    def work(number: int, report: Callable[[int], object]) -> int:
        with folder.making(number) as part:
            return scorer.score(setting.tasks[number], part, report).entities

    return work


def make_scorer(
    setting: Setting, stream: Stream, proven: tuple[Engine, SelfTest] | None = None
) -> Scorer:
    """What scores tasks of a setting.

    Args:
        setting: of the job.
        stream: the steps.
        proven: the model, where that is open already.
    """
    job = setting.job
    engine, proof = proven or prove(artifact.load(model_file(job.model)), job)
    files = [file.path for file in open_inputs(job.input).files]
    return Scorer(
        engine=engine,
        lanes=Lanes(engine),
        stream=stream,
        shape=setting.shape,
        rules=Rules(setting.shape.columns, files, job.on_error),
        states=StateFiles(
            initial=engine.signature.initial_row(),
            form=setting.state_form,
            source=job.state_in,
            wanted=job.state_out is not None,
            codec=Blobs(engine, proof),
        ),
        window=setting.window,
    )


def prove(model: Artifact, job: Job) -> tuple[Engine, SelfTest]:
    """Opens a model on what will score, and replays its golden vectors there.

    Raises:
        ArtifactError: it fails.
        ProviderError: the provider that was asked for isn't there.
    """
    engine = Engine(model, provider=job.provider, max_batch=job.max_batch)
    return engine, selftest.replay(engine)


def model_file(path: Path) -> Path:
    """The file itself, or the newest version in a model's folder that its policy wants.

    Raises:
        ArtifactError: the folder has none, or its policy can't be followed.
    """
    if not path.is_dir():
        return path
    found = find_versions(path)
    if not found:
        raise ArtifactError(
            f"{path}: has no <version>/{MODEL_FILE}; give a {MODEL_FILE}, or a model's folder"
        )
    return versions.choose(found)[-1].path
