"""Callers without room against a server that is played frame by frame."""

import pytest
from google.protobuf.duration_pb2 import Duration

from benchmarks.errors import LoadError
from benchmarks.load import frames
from benchmarks.load.crowd import Crowd
from benchmarks.load.native import NativeWire
from protos.statewise.v1.status_pb2 import RetryInfo, Status
from protos.statewise.v1.stream_pb2 import ClientMessage

SECOND = 10**9
EXHAUSTED = b"\x00\x0bgrpc-status\x018"


def crowd(callers: int) -> Crowd:
    return Crowd(callers, NativeWire("m", 0), "127.0.0.1:1")


def come(callers: int) -> Crowd:
    """All of whom have just come, at the time 0."""
    one = crowd(callers)
    one.receive(frames.settings({}), 0)
    one.come(0)
    return one


def details(seconds: float, words: str = "") -> bytes:
    """A trailer with a retry hint, as gRPC writes binary values: a zero, then the bytes."""
    delay = Duration(nanos=int(seconds % 1 * SECOND), seconds=int(seconds))
    status = Status(code=8, message=words)
    status.details.add(
        type_url="type.googleapis.com/google.rpc.RetryInfo",
        value=RetryInfo(retry_delay=delay).SerializeToString(),
    )
    raw = b"\0" + status.SerializeToString()
    length = bytes((len(raw),)) if len(raw) < 127 else bytes((127, (len(raw) - 127) | 128, 0))
    return b"\x00\x17grpc-status-details-bin" + length + raw


def trailers(stream: int, block: bytes) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, stream, block)


def opened(sent: bytes) -> list[int]:
    """Streams of the opens that were sent."""
    found, rest = frames.split(sent)
    assert rest == b""
    messages = [payload[5:] for kind, _, _, payload in found if kind == frames.DATA]
    assert all(ClientMessage.FromString(one).open.model == "m" for one in messages)
    return [stream for kind, _, stream, _ in found if kind == frames.DATA]


def test_nobody_opens_before_the_server_has_sent_its_settings():
    one = crowd(2)
    with pytest.raises(LoadError, match="measure for longer"):
        one.come(SECOND)
    assert frames.split(one.receive(frames.settings({}), 0))[0] == [
        (frames.SETTINGS, frames.ACK, 0, b"")
    ]
    assert one.due(SECOND) == b""
    assert opened(one.come(SECOND)) == [1, 3]
    assert one.due(SECOND) == b""


def test_who_is_refused_comes_again_when_it_was_told_to():
    one = come(2)
    one.receive(trailers(1, EXHAUSTED + details(1.5)), 1_000)
    one.receive(trailers(3, EXHAUSTED + details(0.25, "so many words " * 9)), 3_000)
    assert one.refusals.nanoseconds == [1_000, 3_000]
    assert (one.refusals.otherwise, one.refusals.let_in) == (0, 0)
    assert one.due(SECOND // 4) == b""
    assert opened(one.due(SECOND // 2)) == [5]
    assert one.due(SECOND) == b""
    assert opened(one.due(2 * SECOND)) == [7]


def test_another_status_a_missing_hint_and_a_reset_are_told_apart():
    one = come(4)
    one.receive(trailers(1, EXHAUSTED), 0)
    one.receive(trailers(3, b"\x00\x0bgrpc-status\x0214" + details(1)), 0)
    one.receive(frames.reset(5), 0)
    one.receive(trailers(7, EXHAUSTED + details(1)), 0)
    assert (len(one.refusals.nanoseconds), one.refusals.otherwise) == (4, 3)
    # What follows a refusal is of no call.
    one.receive(frames.reset(7), 0)
    assert len(opened(one.due(2 * SECOND))) == 4


def test_who_is_let_in_leaves_at_once():
    one = come(1)
    answer = one.receive(frames.frame(frames.DATA, 0, 1, b"\0\0\0\0\0"), 5)
    assert answer == frames.reset(1)
    assert one.refusals.let_in == 1
    assert opened(one.due(2 * SECOND)) == [3]


def test_frames_may_come_in_any_pieces():
    one = come(1)
    data = trailers(1, EXHAUSTED + details(1)) + frames.frame(frames.PING, 0, 0, bytes(8))
    answers = [one.receive(data[at : at + 1], at) for at in range(len(data))]
    assert b"".join(answers) == frames.frame(frames.PING, frames.ACK, 0, bytes(8))
    assert one.refusals.otherwise == 0
    assert len(one.refusals.nanoseconds) == 1
