"""Steps that are in memory together: which of them are scored, and as which sequences.

Owns the decision on bad rows and the grouping of good ones by entity. Knows nothing of models.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.offline import rejected
from service.offline.columns import Columns, shown
from service.offline.rejected import OnError
from service.offline.sortable import sortable
from service.offline.steps import Block, flags

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Rules:
    """What is done about bad rows.

    Attributes:
        columns: names, for messages.
        files: paths of the input's files, for messages.
        on_error: fail at the first, leave out its entity, or leave out the row.
    """

    columns: Columns
    files: Sequence[Path]
    on_error: OnError


@dataclass(frozen=True)
class Window:
    """What of some rows is scored.

    Attributes:
        block: the rows that are, entity by entity, in order.
        starts: where each entity begins, (entities,).
        lengths: its rows, at least one, (entities,).
        bad: the rows that have a fault.
        skipped: entities that are left out, in their order.
        left_out: good rows of those entities.
    """

    block: Block
    starts: Indices
    lengths: Indices
    bad: Block
    skipped: pa.Array
    left_out: int = 0

    @property
    def entities(self) -> pa.Array:
        """Whose each sequence is, (entities,)."""
        return self.block.entities.take(pa.array(self.starts))

    @property
    def faults(self) -> Counter[str]:
        """How many bad rows there are by the column of their fault."""
        return Counter(self.bad.columns.to_pylist())


@dataclass(frozen=True)
class Known:
    """What was scored before.

    Attributes:
        entities: whose states are known, each once.
        order: when the last step of each was.
    """

    entities: pa.Array
    order: pa.Array


def judge(block: Block, rules: Rules, known: Known | None = None) -> Window:
    """Decides which rows are scored.

    Args:
        block: rows entity by entity, order values growing or equal within one.
        rules: what is done about bad ones.
        known: what was scored before; rows that are not behind it come too late.

    Raises:
        TableError: a row is bad, and the rules are to fail.
    """
    if known is not None:
        block = _mark_late(block, rules, known)
    block = _mark_doubles(block, rules)
    good = block.good
    if good.all():
        starts, lengths = _sequences(block)
        nobody = block.entities.slice(0, 0)
        return Window(block, starts, lengths, block.slice(0, 0), nobody)
    if rules.on_error == "fail":
        raise rejected.error(block, int(np.argmin(good)), rules.files)
    bad = block.where(~good)
    if rules.on_error == "quarantine":
        kept = block.where(good)
        return Window(kept, *_sequences(kept), bad, block.entities.slice(0, 0))
    starts, lengths = _sequences(block)
    spoilt = np.add.reduceat(~good, starts) > 0
    keep = np.repeat(~spoilt, lengths)
    kept = block.where(keep)
    skipped = block.entities.take(pa.array(starts[spoilt]))
    left_out = int((~keep).sum()) - len(bad)
    return Window(kept, *_sequences(kept), bad, skipped, left_out)


def _sequences(block: Block) -> tuple[Indices, Indices]:
    """Where each entity begins, and its rows."""
    if len(block) == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    starts = np.flatnonzero(np.concatenate([[True], ~_same(block.entities)]))
    return starts, np.diff(np.append(starts, len(block)))


def _same(keys: pa.Array) -> NDArray[np.bool_]:
    """Whether each value but the first is the one before it, (rows - 1,)."""
    plain = sortable(keys)
    return flags(pc.equal(plain.slice(1), plain.slice(0, len(plain) - 1)))


def _mark_doubles(block: Block, rules: Rules) -> Block:
    """Of good rows of one entity and order the first stays."""
    good = block.good
    kept = block.where(good)
    if len(kept) < 2:
        return block
    double = np.concatenate([[False], _same(kept.entities) & _same(kept.order)])
    if not double.any():
        return block
    bad = np.zeros(len(block), np.bool_)
    bad[good] = double
    problems = [
        f"is {shown(value)} twice; keep one row of each"
        for value in kept.order.filter(pa.array(double))
    ]
    return block.with_faults(bad, rules.columns.order, pa.array(problems))


def _mark_late(block: Block, rules: Rules, known: Known) -> Block:
    """Rows that are not behind what was scored before."""
    places = pc.index_in(sortable(block.entities), value_set=sortable(known.entities))
    last = sortable(known.order).take(places)
    late = flags(pc.less_equal(sortable(block.order), last)) & block.good
    if not late.any():
        return block
    mask = pa.array(late)
    before = known.order.take(places.filter(mask))
    problems = [
        f"is {shown(value)}, but steps up to {shown(end)} are in the states already; leave the row "
        "out, or score from the beginning"
        for value, end in zip(block.order.filter(mask), before, strict=True)
    ]
    return block.with_faults(late, rules.columns.order, pa.array(problems))


@dataclass
class Tally:
    """What became of the rows so far.

    Attributes:
        rows: scored.
        entities: scored.
        faults: bad rows by the column of their fault.
        skipped: entities that were left out for a bad row.
        left_out: good rows of those.
    """

    rows: int = 0
    entities: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    left_out: int = 0

    def add(self, other: "Tally") -> None:
        """Counts what another has counted."""
        self.rows += other.rows
        self.entities += other.entities
        self.faults.update(other.faults)
        self.skipped += other.skipped
        self.left_out += other.left_out
