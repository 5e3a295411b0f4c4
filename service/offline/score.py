"""One score from file to file: look, sort where that is needed, take every step, put together.

Owns the order of these, and what can be gone on with after an interruption. Knows nothing of the
command line.
"""

import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from service.artifacts import artifact
from service.artifacts.artifact import Artifact
from service.errors import ArtifactError, NoRoom, TableError, UserError, WorkerFailed
from service.models.selftest import SelfTest
from service.offline import answers, states, survey, workers
from service.offline.answers import AnswerForm
from service.offline.assembly import Assembly
from service.offline.budget import Budget
from service.offline.columns import Columns
from service.offline.inputs import Inputs, open_inputs
from service.offline.job import Job
from service.offline.preparation import cluster, prepare, window_rows
from service.offline.progress import progress
from service.offline.scoring import Setting, model_file, prove, start
from service.offline.summary import Findings, Summary
from service.offline.task import read_tally
from service.offline.window import Tally
from service.offline.work import Plan, Work, held
from service.runtime.engine import Engine

_log = logging.getLogger(__name__)


class AnotherRun(TableError):
    """What an interrupted run has left is not what this one would go on with."""


@dataclass(frozen=True)
class Ready:
    """A job whose model and columns are there.

    Attributes:
        model: with a manifest that names its features.
        columns: what a row is made of.
        inputs: the files.
    """

    job: Job
    model: Artifact
    columns: Columns
    inputs: Inputs


def get_ready(job: Job) -> Ready:
    """Reads the model's manifest and the input's schema.

    Raises:
        ArtifactError: the model can't be read, or does not name its features.
        TableError: the input can't be scored, or the output would be ambiguous.
    """
    model = artifact.load(model_file(job.model))
    if model.golden is None:
        raise ArtifactError(
            f"{model.path}: has no manifest that names its features; `score` takes models made "
            "with `python -m export`"
        )
    Budget(job, model).check()
    columns = Columns(job.entity, job.order, model.features)
    answers.check_names(job.output, columns, model.outputs, model.classes)
    inputs = open_inputs(job.input)
    keys = survey.check(inputs, columns)
    if job.state_in is not None:
        states.check(job.state_in, states.schema(*keys))
    return Ready(job, model, columns, inputs)


def look(job: Job) -> Findings:
    """Everything that a score checks before it begins: model, columns, every row's keys.

    Raises:
        ServiceError: the same as `score`.
    """
    ready = get_ready(job)
    _, proof = _proven(ready)
    with progress("look", ready.inputs.rows, sys.stderr) as report:
        window = window_rows(job, ready.model)
        found = survey.look(ready.inputs, ready.columns, job.on_error, window, report)
    return Findings(
        model=ready.model.name,
        proof=proof.summary(),
        files=len(ready.inputs.files),
        rows=found.rows,
        entities=found.plan.entities if found.plan.is_sorted else None,
        homeless=len(found.homeless),
        features=len(ready.columns.features),
    )


def score(job: Job) -> Summary:
    """Scores an input; each file that it writes is written whole, or left as it was.

    Raises:
        ArtifactError: the model can't be served, or fails its self-test.
        ProviderError: the provider that was asked for isn't there.
        TableError: the input can't be scored, or the output can't be written.
        ModelFault: ONNX Runtime failed on a step.
        WorkerFailed: a process was killed.
    """
    started = time.perf_counter()
    ready = get_ready(job)
    engine, proof = _proven(ready)
    with held(job.output) as folder:
        try:
            plan = _plan(ready, folder, proof)
            tally, seconds = _carry_out(ready, folder, plan, engine, proof)
            folder.drop()
        except (AnotherRun, NoRoom, WorkerFailed):
            # What is done stands: `--resume` may yet go on with it.
            raise
        except UserError:
            # What is wrong with the input will be mended, and then it is another.
            folder.drop()
            raise
    return Summary(
        tally=tally,
        homeless=len(plan.homeless),
        scoring_seconds=seconds,
        seconds=time.perf_counter() - started,
        job=job,
    )


def metadata(engine: Engine, proof: SelfTest) -> dict[str, str]:
    """What an output says of what made it."""
    return {
        "statewise.model": engine.artifact.name,
        "statewise.content_digest": engine.artifact.digest,
        "statewise.numeric_fingerprint": proof.fingerprint,
        "statewise.provider": engine.provider,
    }


def _proven(ready: Ready) -> tuple[Engine, SelfTest]:
    engine, proof = prove(ready.model, ready.job)
    _log.info(
        "model %s on %s: %s; content %s, fingerprint %s",
        *(engine.artifact.name, engine.provider, proof.summary()),
        *(engine.artifact.digest, proof.fingerprint),
    )
    return engine, proof


def _plan(ready: Ready, folder: Work, proof: SelfTest) -> Plan:
    """The plan of the run that was interrupted, or a new one."""
    identity = _identity(ready, proof)
    if ready.job.resume:
        plan = folder.plan()
        if plan is not None and plan.identity != identity:
            differing = [name for name in identity if plan.identity.get(name) != identity[name]]
            raise AnotherRun(
                f"{ready.job.output}: the run that was interrupted had another "
                f"{' and '.join(differing)}; run without --resume to begin anew"
            )
        if plan is not None:
            return plan
        _log.info("there is nothing to resume; beginning")
    if folder.clear():
        _log.info("what an interrupted run has left is dropped; --resume would go on with it")
    plan = prepare(folder, ready.job, ready.inputs, ready.columns, ready.model, identity)
    folder.keep(plan)
    return plan


def _identity(ready: Ready, proof: SelfTest) -> dict[str, object]:
    """Everything that the output's rows and bits depend on."""
    job, state_in = ready.job, ready.job.state_in
    facts = state_in.stat() if state_in else None
    return {
        "model": ready.model.digest,
        "processor": proof.fingerprint,
        "input": ready.inputs.describe(),
        "columns": ready.columns.names,
        "--on-error": job.on_error,
        "--state-in": [str(state_in), facts.st_size, facts.st_mtime_ns] if facts else [],
        "--state-out": job.state_out is not None,
        "--engine": job.engine,
    }


def _carry_out(
    ready: Ready, folder: Work, plan: Plan, engine: Engine, proof: SelfTest
) -> tuple[Tally, float]:
    """Does what of a plan is not done, and puts all parts together; seconds of scoring."""
    job = ready.job
    setting = Setting.of(job, ready.columns, plan, folder)
    open_tasks = [number for number in range(len(plan.tasks)) if not folder.done(number)]
    done = [task for number, task in enumerate(plan.tasks) if number not in set(open_tasks)]
    began = time.perf_counter()
    rows_done = sum(task.stop - task.start for task in done)
    form = AnswerForm.of(ready.model, setting.shape)
    with Assembly(job, plan, folder, setting, form, metadata(engine, proof)) as assembly:
        assembly.advance()
        with progress("score", plan.rows, sys.stderr, done=rows_done) as report:
            for _ in _done(setting, (engine, proof), open_tasks, report):
                assembly.advance()
        seconds = time.perf_counter() - began
        if ready.inputs.describe() != plan.identity["input"]:
            raise TableError(
                f"{job.input}: changed while it was read; score it when it is finished"
            )
        assembly.finish()
    tally = Tally()
    for number in range(len(plan.tasks)):
        tally.add(read_tally(folder.part(number)))
    return tally, seconds


def _done(
    setting: Setting,
    proven: tuple[Engine, SelfTest],
    tasks: list[int],
    report: workers.Report,
) -> Iterator[int]:
    """Does tasks, here, in processes or on a cluster; yields each when it is done."""
    if setting.job.engine == "ray":
        yield from cluster().run(setting, proven, tasks, report)
        return
    if min(setting.job.workers, len(tasks)) <= 1:
        work = start(setting, proven)
        for task in tasks:
            report(0, work(task, lambda rows: report(rows, 0)))
            yield task
        return
    yield from workers.run(start, (setting,), tasks, setting.job.workers, report)
