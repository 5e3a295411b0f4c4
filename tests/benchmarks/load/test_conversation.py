import numpy as np
import pytest

from benchmarks.errors import LoadError
from benchmarks.load.conversation import Conversation
from benchmarks.load.native import NativeWire
from benchmarks.load.rows import ROWS, stream_rows
from protos.statewise.v1.stream_pb2 import (
    ClientMessage,
    Closed,
    Opened,
    Refused,
    Result,
    ServerMessage,
)

OPENED = Opened(features=["a", "b", "c"], outputs=["y"])


def opened(index: int = 0) -> tuple[Conversation, bytes]:
    conversation = Conversation(NativeWire("m", index), [])
    chunk = conversation.answer(ServerMessage(opened=OPENED).SerializeToString(), 0)
    assert chunk is not None
    return conversation, chunk


def result(sequence: int, data: bytes = b"\0\0\0\0") -> ServerMessage:
    return ServerMessage(result=Result(sequence=sequence, data=data))


def test_every_step_sends_its_own_row_with_the_next_number():
    conversation, message = opened(index=5)
    rows = stream_rows(5, 3)
    for step in range(2 * ROWS + 1):
        chunk = ClientMessage.FromString(message).chunk
        assert (chunk.sequence, chunk.steps, chunk.features) == (step + 1, 1, 3)
        assert chunk.data == rows[step % ROWS].tobytes()
        message = conversation.answer(result(step + 1).SerializeToString(), 0)


def test_all_streams_and_rows_differ():
    rows = np.concatenate([stream_rows(index, 4) for index in range(8)])
    assert len(np.unique(rows, axis=0)) == 8 * ROWS


@pytest.mark.parametrize(
    "answer",
    [
        result(2),
        result(1, data=b"\0\0\0"),
        ServerMessage(refused=Refused(sequence=1, reason="NON_FINITE_INPUT")),
        ServerMessage(opened=OPENED),
        ServerMessage(closed=Closed()),
    ],
)
def test_anything_but_the_result_of_the_step_is_an_error(answer):
    conversation, _ = opened()
    with pytest.raises(LoadError, match="stream 0, sequence 1: expected a Result of 4 bytes"):
        conversation.answer(answer.SerializeToString(), 0)
    assert conversation.outputs == []


def test_a_stream_that_is_refused_says_why():
    conversation = Conversation(NativeWire("m", 3), [])
    refused = ServerMessage(refused=Refused(reason="FULL", message="try later"))
    with pytest.raises(LoadError, match=r"stream 3, sequence 0: .* Opened, got .*try later"):
        conversation.answer(refused.SerializeToString(), 0)


def test_the_server_must_have_counted_the_same_steps():
    conversation, _ = opened()
    conversation.stopping = True
    conversation.answer(result(1).SerializeToString(), 0)
    with pytest.raises(LoadError, match="expected Closed after 1 steps"):
        conversation.answer(ServerMessage(closed=Closed(steps=2)).SerializeToString(), 0)
    good = ServerMessage(closed=Closed(steps=1)).SerializeToString()
    assert conversation.answer(good, 0) is None
