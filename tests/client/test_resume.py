"""A stream whose call breaks at any moment, without a network: none missing, none twice."""

import itertools

import numpy as np
import pytest
from fake_model import (
    Kept,
    answer,
    answers,
    distinct,
    refused,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import NAME, OPENING, Caller, Server, info
from statewise_client.errors import ProtocolError, StreamFailed
from statewise_client.exchange import Exchange
from statewise_client.opening import Opening
from statewise_client.protocol import Ended, closing

from protos.statewise.v1 import stream_pb2 as wire

TURNS = st.integers(0, 120)
# A break, and how many answers still arrive.
BREAKS = st.tuples(st.sampled_from(["cut", "kill"]), st.integers(0, 3))
STEPS = 24


# No deadline: the time is the machine's.
@settings(deadline=None, max_examples=400)
@given(
    rhythm=st.lists(st.sampled_from(["send", "compute", "receive"]), min_size=1, max_size=8),
    breaks=st.dictionaries(TURNS, BREAKS, max_size=10),
    late_breaks=st.dictionaries(st.integers(0, 8), BREAKS, max_size=2),
    stores=st.sets(TURNS, max_size=10),
    bad=st.sets(st.integers(1, 30), max_size=5),
    fast=st.sets(st.integers(1, 60), max_size=20),
    chunk=st.integers(1, 6),
    in_flight=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_whenever_the_call_breaks_the_outputs_are_those_of_an_undisturbed_stream(
    rhythm, breaks, late_breaks, stores, bad, fast, chunk, in_flight, seed
):
    steps = distinct(STEPS, seed)
    server = Server(bad, fast)
    caller = Caller(server, steps, chunk, in_flight)
    acts = {"send": caller.send, "receive": caller.receive, "compute": server.compute}
    moves = itertools.cycle([*rhythm, "send", "compute", "receive"])

    closing_turn = 0
    for turn in range(3000):
        if caller.ended is not None:
            break
        if turn in stores and NAME in server.streams:
            server.store()
        disturbance = breaks.get(turn)
        if caller.exchange.is_closing:
            disturbance = late_breaks.get(closing_turn, disturbance)
            closing_turn += 1
        if disturbance is not None and NAME in server.streams:
            kind, arrives = disturbance
            {"cut": server.cut, "kill": server.kill}[kind](arrives)
        acts[next(moves)]()

    assert caller.ended == Ended(len(steps))
    np.testing.assert_array_equal(np.vstack(caller.outputs), answers(steps))


def exchange_at(sent: int, durable: int, **limits) -> Exchange:
    """A stream of chunks of one step, all answered and stored up to one of them."""
    exchange, kept = Exchange(info(), OPENING, **limits), Kept(np.zeros(3, np.float32))
    for step in distinct(sent, seed=1):
        for message in exchange.send(step):
            exchange.receive(answer(kept, message.chunk, lambda sequence: sequence == durable))
    return exchange


def resume_of(exchange: Exchange) -> wire.Resume:
    return exchange.reopening().open.resume


def test_what_is_stored_is_not_kept_to_be_sent_again() -> None:
    exchange = exchange_at(sent=5, durable=3)
    assert (resume_of(exchange).received, resume_of(exchange).replay_from) == (5, 4)
    assert [one.chunk.sequence for one in exchange.reopened(info(4))] == [4, 5]
    assert [one.chunk.sequence for one in exchange.reopened(info(6))] == []


def test_beyond_the_bound_the_oldest_are_let_go() -> None:
    step_bytes = 3 * 4
    exchange = exchange_at(sent=5, durable=0, replay_bytes=2 * step_bytes)
    assert resume_of(exchange).replay_from == 4
    with pytest.raises(StreamFailed, match="goes on with chunk 3; 4 is the oldest") as failed:
        exchange.reopened(info(3))
    assert failed.value.reason == "STATE_LOST"


def test_chunks_tell_which_results_have_arrived() -> None:
    exchange, kept = Exchange(info(), OPENING), Kept(np.zeros(3, np.float32))
    ahead = [exchange.send(step)[0] for step in distinct(2, seed=2)]
    assert [message.chunk.acknowledged for message in ahead] == [0, 0]
    exchange.receive(answer(kept, ahead[0].chunk, lambda sequence: True))
    assert exchange.send([1, 2, 3])[0].chunk.acknowledged == 1


def test_a_stream_begins_anew_only_with_whoever_began_it() -> None:
    begun = Opening("sum", stream_id=NAME, initial_state=b"blob")
    again = Exchange(info(), begun).reopening().open
    assert (again.resume.replay_from, again.initial_state) == (1, b"blob")

    # Its state has steps that this caller never saw.
    taken_up = Exchange(info(steps=9), Opening("sum", stream_id=NAME, resume=True))
    assert not taken_up.reopening().open.resume.HasField("replay_from")


def test_a_caller_that_goes_on_counts_on() -> None:
    opening = Opening("sum", stream_id=NAME, resume=True)
    exchange = Exchange(info(8, steps=70, resumed=True), opening)
    assert exchange.send([1, 2, 3])[0].chunk.sequence == 8
    assert (exchange.info.steps, resume_of(exchange).received) == (70, 7)
    assert resume_of(exchange).replay_from == 8


def test_a_caller_that_goes_on_has_the_outputs_that_it_lacks() -> None:
    kept = Kept(np.zeros(3, np.float32))
    steps = distinct(6, seed=3)
    earlier, replies = Exchange(info(), OPENING), []
    for chunk in np.split(steps, 3):
        message = earlier.send(chunk)[0]
        replies.append(answer(kept, message.chunk, lambda sequence: True))

    opening = Opening("sum", stream_id=NAME, resume=True, received=1)
    exchange = Exchange(info(4, steps=6, resumed=True), opening)
    assert exchange.in_flight == 2
    outputs = [exchange.receive(reply) for reply in replies[1:]]
    np.testing.assert_array_equal(np.vstack(outputs), answers(steps)[2:])
    assert exchange.send([1, 2, 3])[0].chunk.sequence == 4


def test_other_weights_are_no_going_on() -> None:
    with pytest.raises(StreamFailed, match="the server has other weights") as failed:
        exchange_at(sent=2, durable=1).reopened(info(2, content_digest="others"))
    assert failed.value.reason == "MODEL_CHANGED"


@pytest.mark.parametrize(
    "changes", [{"numeric_fingerprint": "others"}, {"fingerprint_changed": True}]
)
def test_another_kind_of_processor_is_told(changes, caplog) -> None:
    exchange = exchange_at(sent=2, durable=1)
    exchange.reopened(info(3, **changes))
    exchange.reopened(info(3))
    assert exchange.info.fingerprint_changed
    assert "'pump-7' goes on on another kind of processor" in caplog.messages[0]
    assert len(caplog.messages) == 1


def test_a_server_that_expects_what_was_never_sent_is_not_believed() -> None:
    with pytest.raises(ProtocolError, match="expects chunk 4 of stream 'pump-7'; 2 was the last"):
        exchange_at(sent=2, durable=0).reopened(info(4))


def test_what_was_taken_once_can_not_be_refused() -> None:
    exchange = exchange_at(sent=2, durable=1)
    (again,) = exchange.reopened(info(2))
    exchange.send([1, 2, 3])
    with pytest.raises(ProtocolError, match="refused with sequence 0 where the result of chunk 2"):
        exchange.receive(refused(again.chunk, "BAD", 2))


def test_a_close_that_was_taken_unseen_is_a_close() -> None:
    unknown = StreamFailed("NOT_FOUND", "", reason="STREAM_NOT_FOUND")
    closed = StreamFailed("FAILED_PRECONDITION", "", reason="STREAM_CLOSED")
    exchange = exchange_at(sent=2, durable=1)
    assert exchange.ended_unseen(closed) is None
    assert exchange.close(return_state=False) == closing()
    assert exchange.ended_unseen(closed) == exchange.ended_unseen(unknown) == Ended(2)
    assert exchange.ended_unseen(StreamFailed("NOT_FOUND", "", reason="MODEL_NOT_FOUND")) is None

    exchange.close(return_state=True)
    assert exchange.ended_unseen(closed) is None
