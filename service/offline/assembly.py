"""The files of a score, put together from its parts as they are done.

Owns which files there are and the order of their parts. Knows nothing of how parts were made.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from service.offline import rejected, states
from service.offline.answers import PREDICTED, AnswerForm
from service.offline.inputs import open_inputs
from service.offline.job import Job
from service.offline.results import TableFile, read_part, replacing
from service.offline.scoring import Setting
from service.offline.states import STATES
from service.offline.task import ANSWERS, REJECTED
from service.offline.work import Plan, Work


class Assembly:
    """Files that grow in the order of the parts; they stand when the block has ended well."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        folder: Work,
        setting: Setting,
        form: AnswerForm,
        metadata: Mapping[str, str],
    ) -> None:
        """Names the files."""
        self._job = job
        self._plan = plan
        self._form = form
        self._folder = folder
        self._setting = setting
        self._metadata = metadata
        self._compression = open_inputs(job.input).compression
        self._files: dict[str, TableFile] = {}
        self._stack = ExitStack()
        self._next = 0

    def __enter__(self) -> Self:
        job, columns, keys = self._job, self._setting.shape.columns, self._keys()
        # The answers' file takes its place last: where it stands, all stand.
        self._open(ANSWERS, job.output, self._form.schema, (*keys, PREDICTED))
        if job.state_out is not None:
            self._open(STATES, job.state_out, self._setting.state_form, ())
        if job.on_error != "fail":
            form = rejected.schema(columns, self._plan.entity_type, self._plan.order_type)
            self._open(REJECTED, job.rejected_path, form, form.names[:6])
            self._files[REJECTED].add([rejected.of_homeless(self._plan.homeless, form)])
        return self

    def _keys(self) -> tuple[str, str]:
        columns = self._setting.shape.columns
        return columns.entity, columns.order

    def _open(self, name: str, path: Path, form: pa.Schema, repeated: Sequence[str]) -> None:
        file = self._stack.enter_context(replacing(path))
        table = TableFile(
            file,
            form,
            compression=self._compression,
            metadata=self._metadata,
            repeated=[name for name in repeated if name in form.names],
        )
        # Closed before its file is, whatever ends the block.
        self._stack.callback(table.close)
        self._files[name] = table

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def advance(self) -> None:
        """Takes the parts that are done and follow those that were taken."""
        while self._next < len(self._plan.tasks) and self._folder.done(self._next):
            part = self._folder.part(self._next)
            for name, file in self._files.items():
                file.add(read_part(part / name))
            self._next += 1

    def finish(self) -> None:
        """Writes the ends of the files; every part has been taken."""
        job = self._job
        if STATES in self._files and job.state_in is not None:
            parts = [self._folder.part(number) / STATES for number in range(self._next)]
            form = self._setting.state_form
            self._files[STATES].add(states.silent(job.state_in, parts, form))
        for file in self._files.values():
            file.close()
