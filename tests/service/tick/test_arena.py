import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from service.errors import Exhausted
from service.tensors import items
from service.tick.arena import Arena
from service.tick.slots import Slot

INITIAL = np.array([0.5, -1.0], np.float32)


def test_a_slot_starts_in_the_initial_state_whatever_its_last_stream_left():
    arena = Arena(1, INITIAL)
    slot = arena.acquire()
    arena.rows[slot.row] = [7, 8]
    arena.slots.release(slot)
    assert arena.rows[arena.acquire().row].tolist() == INITIAL.tolist()


def test_a_full_arena_refuses_at_once_with_a_retry_hint():
    arena = Arena(2, INITIAL)
    arena.acquire()
    arena.acquire()
    with pytest.raises(Exhausted, match="all 2 streams") as refused:
        arena.acquire()
    assert refused.value.reason == "STREAMS_EXHAUSTED"
    assert 1 <= refused.value.retry_after <= 2


def test_a_late_release_never_frees_the_row_of_its_next_stream():
    arena = Arena(1, INITIAL)
    first = arena.acquire()
    assert arena.slots.release(first)
    second = arena.acquire()
    assert second.row == first.row
    assert not arena.slots.release(first)
    assert arena.slots.taken == 1
    with pytest.raises(Exhausted):
        arena.acquire()


def test_gather_and_scatter_move_the_named_rows_only():
    arena = Arena(5, INITIAL)
    arena.rows[:] = np.arange(10).reshape(5, 2)
    out = np.zeros((2, 2), np.float32)
    arena.gather(np.array([3, 1]), out)
    assert out.tolist() == [[6, 7], [2, 3]]
    arena.scatter(np.array([3, 1]), items(-out))
    assert arena.rows.tolist() == [[0, 1], [-2, -3], [4, 5], [-6, -7], [8, 9]]


class SlotsInUse(RuleBasedStateMachine):
    """Any order of acquiring and releasing, stale and repeated releases included."""

    live = Bundle("live")
    dead = Bundle("dead")

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(4, INITIAL)
        self.held: list[Slot] = []

    @rule(target=live)
    def acquire(self) -> object:
        if len(self.held) == 4:
            with pytest.raises(Exhausted):
                self.arena.acquire()
            return None
        slot = self.arena.acquire()
        self.held.append(slot)
        return slot

    @rule(target=dead, slot=consumes(live))
    def release(self, slot: Slot | None) -> object:
        if slot is not None:
            assert self.arena.slots.release(slot)
            self.held.remove(slot)
        return slot

    @rule(slot=dead, times=st.integers(1, 3))
    def release_again(self, slot: Slot | None, times: int) -> None:
        for _ in range(times):
            assert slot is None or not self.arena.slots.release(slot)

    @invariant()
    def no_row_is_in_two_hands(self) -> None:
        rows = [slot.row for slot in self.held]
        assert len(rows) == len(set(rows)) == self.arena.slots.taken


TestSlotsInUse = SlotsInUse.TestCase
