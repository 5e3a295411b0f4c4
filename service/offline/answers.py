"""The table of answers: its columns, and how rows get into it.

Owns the output's form. Knows nothing of how the answers were made, nor of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from service.artifacts.artifact import Artifact
from service.errors import TableError
from service.offline.columns import Columns
from service.offline.steps import Block
from service.offline.stream import Shape
from service.streams.chunks import Float32

PREDICTED = "predicted"


@dataclass(frozen=True)
class AnswerForm:
    """What the table of answers looks like.

    Attributes:
        schema: entity, order, the model's outputs, and the likeliest of them where they are
            classes that exclude each other: the first where several are.
        channels: names of the model's outputs.
        classes: whether they are such classes.
    """

    schema: pa.Schema
    channels: tuple[str, ...]
    classes: bool

    @classmethod
    def of(cls, model: Artifact, shape: Shape) -> "AnswerForm":
        """The form of a model's answers to an input."""
        columns = shape.columns
        fields = [(columns.entity, shape.entity_type), (columns.order, shape.order_type)]
        fields += [(channel, pa.float32()) for channel in model.outputs]
        fields += [(PREDICTED, pa.string())] if model.classes else []
        return cls(pa.schema(fields), model.outputs, model.classes)

    def batch(self, block: Block, start: int, values: Float32) -> pa.RecordBatch:
        """Some rows of the table.

        Args:
            block: the steps.
            start: first of those that were answered.
            values: the answers, (rows, outputs).
        """
        keys = [key.slice(start, len(values)) for key in (block.entities, block.order)]
        arrays = [*keys, *(pa.array(np.ascontiguousarray(column)) for column in values.T)]
        if self.classes:
            arrays.append(pa.array(self.channels).take(pa.array(values.argmax(axis=1))))
        return pa.record_batch(arrays, schema=self.schema)


def check_names(path: Path, columns: Columns, channels: Sequence[str], classes: bool) -> None:
    """Refuses an output in which two columns would have one name.

    Raises:
        TableError: names the column and where it comes from.
    """
    roles = [("--entity", columns.entity), ("--order", columns.order)]
    roles += [("an output of the model", channel) for channel in channels]
    if classes:
        roles.append(("the likeliest class", PREDICTED))
    seen: dict[str, str] = {}
    for role, name in roles:
        if name in seen:
            raise TableError(
                f"{path}: column {name!r} would be both {seen[name]} and {role}; rename one of them"
            )
        seen[name] = role
