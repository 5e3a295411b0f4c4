"""The rules of chunks and answers, without a network: any cutting gives the same outputs."""

from collections import deque

import numpy as np
import pytest
from fake_model import FEATURES, OUTPUTS, answers, compute, distinct, refused, result
from hypothesis import given, settings
from hypothesis import strategies as st
from statewise_client.errors import ChunkRefused, InputError
from statewise_client.exchange import Exchange
from statewise_client.opening import Opening
from statewise_client.protocol import StreamInfo


def info(max_chunk_steps: int) -> StreamInfo:
    return StreamInfo("id", "sum", "1", "", "", FEATURES, OUTPUTS, False, 0.0, max_chunk_steps)


class Server:
    """The server's side: it refuses the chunks whose turn is in `bad`."""

    def __init__(self, bad: set[int]) -> None:
        self.state, self.expected, self.turn, self.bad = np.zeros(3, np.float32), 1, 0, bad

    def answer(self, message):
        chunk = message.chunk
        self.turn += 1
        assert self.turn < 1000, "the caller goes round in circles"
        if chunk.sequence != self.expected or self.turn in self.bad:
            return refused(chunk, "BAD", self.expected)
        steps = np.frombuffer(chunk.data, "<f4").reshape(chunk.steps, chunk.features)
        self.state, outputs = compute(self.state, steps)
        self.expected += 1
        return result(chunk, outputs)


# No deadline: the time is the machine's.
@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(1, 39), max_size=8, unique=True),
    max_chunk_steps=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_cutting_gives_the_same_outputs(cuts, max_chunk_steps, seed):
    steps = distinct(40, seed)
    exchange, server = Exchange(info(max_chunk_steps), Opening("sum")), Server(bad=set())
    outputs, sent = [], 0

    for chunk in np.split(steps, sorted(cuts)):
        for message in exchange.send(chunk):
            assert message.chunk.sequence == (sent := sent + 1)
            assert 1 <= message.chunk.steps <= max_chunk_steps
            outputs.append(exchange.receive(server.answer(message)))

    assert exchange.in_flight == 0
    whole = [one for one in outputs if one is not None]
    np.testing.assert_array_equal(np.vstack(whole), answers(steps))


@settings(deadline=None)
@given(
    bad=st.sets(st.integers(1, 60), max_size=6),
    in_flight=st.integers(1, 6),
    max_chunk_steps=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_caller_that_sends_again_what_was_not_taken_loses_nothing(
    bad, in_flight, max_chunk_steps, seed
):
    steps = distinct(30, seed)
    exchange, server = Exchange(info(max_chunk_steps), Opening("sum")), Server(bad)
    outputs, network, position = [np.empty((0, 2), np.float32)], deque(), 0

    while sum(map(len, outputs)) < len(steps):
        while exchange.in_flight < in_flight and position < len(steps):
            network.extend(exchange.send(steps[position : position + 3]))
            position += 3
        try:
            received = exchange.receive(server.answer(network.popleft()))
        except ChunkRefused as refusal:
            assert not network
            received = refusal.outputs
            position = sum(map(len, outputs)) + (0 if received is None else len(received))
        if received is not None:
            outputs.append(received)

    np.testing.assert_array_equal(np.vstack(outputs), answers(steps))


def test_a_name_that_is_no_text_is_named() -> None:
    with pytest.raises(InputError, match=r"stream_id is .*not valid text"):
        Opening("activity", "", "\udcff")
