"""Which sequence stands in which lane of a step, and from when on: settled before the first step.

Owns the dealing of sequences to lanes. A lane holds one sequence after another; lanes are numbered
so that those still occupied are always the first, without gaps. Knows nothing of steps' contents.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
# Ticks of the longest run, so that whoever counts runs sees progress.
_LONGEST_RUN = 64
# Rows of a call beyond which a row gets hardly cheaper.
_FULL = 64


class Run(NamedTuple):
    """Ticks during which no sequence begins and none is the last of its lane.

    Attributes:
        ticks: how many.
        lanes: how many are occupied.
        entering: sequences whose first step is the first tick.
        entered: the lanes that they take.
        leaving: sequences whose last step is the last tick.
        left: the lanes that they leave.
    """

    ticks: int
    lanes: int
    entering: Indices
    entered: Indices
    leaving: Indices
    left: Indices


@dataclass(frozen=True)
class Schedule:
    """Where and when each sequence is run.

    Attributes:
        lane: of each sequence, (sequences,).
        begin: tick of each sequence's first step, (sequences,).
        end: tick behind each sequence's last step, (sequences,).
        loads: ticks until each lane is empty for good, not growing, (lanes,).
    """

    lane: Indices
    begin: Indices
    end: Indices
    loads: Indices

    def runs(self) -> Iterator[Run]:
        """All ticks, in order."""
        makespan = int(self.loads[0])
        pauses = np.arange(0, makespan, _LONGEST_RUN)
        events = np.unique(np.concatenate([self.begin, self.loads, pauses]))
        entering, leaving = (np.argsort(ticks, kind="stable") for ticks in (self.begin, self.end))
        entered, left = self.lane[entering], self.lane[leaving]
        begun = np.searchsorted(self.begin[entering], events).tolist()
        # Every end is an event: another's begin, or the end of its lane.
        ended = np.searchsorted(self.end[leaving], events, side="right").tolist()
        # -loads grows, as searchsorted wants it.
        occupied = np.searchsorted(-self.loads, -events).tolist()
        for lanes, (tick, until), entries, exits in zip(
            occupied, pairwise(events.tolist()), pairwise(begun), pairwise(ended), strict=False
        ):
            new, over = slice(*entries), slice(*exits)
            yield Run(until - tick, lanes, entering[new], entered[new], leaving[over], left[over])


def width(lengths: Indices, most: int) -> int:
    """How many lanes to deal to.

    No more than are full for as long as the longest sequence takes: a call of 64 rows costs hardly
    more a row than one of 256, but wide steps at first leave narrow ones for the end.
    """
    return min(most, max(_FULL, int(lengths.sum() // lengths.max())))


def deal(lengths: Indices, lanes: int) -> Schedule:
    """Deals sequences to lanes, the longest first, each to the lane that is free first.

    Args:
        lengths: steps of each sequence, at least one, (sequences,).
        lanes: at most so many at once.
    """
    lanes = min(lanes, len(lengths))
    longest = np.argsort(-lengths, kind="stable")
    # A heap of (tick from which a lane is free, lane).
    free = [(0, lane) for lane in range(lanes)]
    dealt = []
    for length in lengths[longest].tolist():
        tick, lane = free[0]
        dealt.append((tick, lane))
        heapq.heapreplace(free, (tick + length, lane))
    # Numbered anew, so that the lanes that end last are the first.
    loads, ranked = np.array(sorted(free, reverse=True), np.intp).T
    begin, lanes_dealt = np.empty_like(lengths), np.empty_like(lengths)
    begin[longest], lanes_dealt[longest] = np.array(dealt, np.intp).T
    return Schedule(np.argsort(ranked)[lanes_dealt], begin, begin + lengths, loads)
