"""The connection against a server that is played frame by frame."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import LoadError
from benchmarks.load import frames
from benchmarks.load.connection import Connection
from benchmarks.load.conversation import Conversation
from benchmarks.load.native import NativeWire
from protos.statewise.v1.stream_pb2 import ClientMessage, Closed, Opened, Result, ServerMessage

TRAILERS = b"\x00\x0bgrpc-status\x010"
OPENED = ServerMessage(opened=Opened(features=["a", "b"], outputs=["y"]))
CLOSED = ServerMessage(closed=Closed(steps=1))
FIRST, SECOND = 1, 3


def result(sequence: int) -> ServerMessage:
    return ServerMessage(result=Result(sequence=sequence, data=bytes([sequence % 256] * 4)))


def message(stream: int, content: ServerMessage) -> bytes:
    data = content.SerializeToString()
    return frames.frame(frames.DATA, 0, stream, b"\0" + len(data).to_bytes(4, "big") + data)


def parse(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of every frame."""
    found = []
    while data:
        high, low, kind, flags, stream = frames.HEADER.unpack_from(data)
        end = frames.HEADER.size + (high << 16) + low
        found.append((kind, flags, stream, data[frames.HEADER.size : end]))
        data = data[end:]
    return found


@dataclass
class Client:
    """A connection with what it sent, of which the tests ask."""

    streams: int = 1
    latencies: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversations = [
            Conversation(NativeWire("m", i), self.latencies) for i in range(self.streams)
        ]
        self.connection = Connection(self.conversations, "127.0.0.1:1")
        self.sent: list[tuple[int, int, int, bytes]] = []

    def receive(self, data: bytes, now: int = 0) -> list[tuple[int, int, int, bytes]]:
        answer = parse(self.connection.receive(data, now))
        self.sent += answer
        return answer

    def messages(self, stream: int) -> list[ClientMessage]:
        return [
            ClientMessage.FromString(payload[5:])
            for kind, _, number, payload in self.sent
            if (kind, number) == (frames.DATA, stream)
        ]

    def opened(self) -> "Client":
        self.receive(frames.settings({}))
        for index in range(self.streams):
            self.receive(message(1 + 2 * index, OPENED))
        return self


def test_streams_open_when_the_server_has_sent_its_settings():
    client = Client(streams=2)
    sent = client.receive(frames.settings({}))
    assert sent[0] == (frames.SETTINGS, frames.ACK, 0, b"")
    assert [(kind, stream) for kind, _, stream, _ in sent[1:]] == [
        (frames.HEADERS, FIRST),
        (frames.DATA, FIRST),
        (frames.HEADERS, SECOND),
        (frames.DATA, SECOND),
    ]
    assert client.messages(SECOND)[0].open.model == "m"


def test_each_result_is_followed_by_the_next_chunk_of_its_own_stream():
    client = Client(streams=2).opened()
    client.receive(message(SECOND, result(1)) + message(SECOND, result(2)))
    assert [one.chunk.sequence for one in client.messages(FIRST)] == [0, 1]
    assert [one.chunk.sequence for one in client.messages(SECOND)] == [0, 1, 2, 3]
    assert client.conversations[1].outputs == [b"\1\1\1\1", b"\2\2\2\2"]


def test_latency_counts_from_the_send_of_the_step():
    client = Client().opened()
    client.conversations[0].sent_at = 100
    client.receive(message(FIRST, result(1)), now=350)
    assert client.latencies == [250]


@given(st.lists(st.integers(1, 60), max_size=40))
def test_frames_may_arrive_in_any_pieces(sizes):
    data = (
        frames.settings({})
        + message(FIRST, OPENED)
        + frames.frame(frames.PING, 0, 0, b"12345678")
        + b"".join(message(FIRST, result(step)) for step in range(1, 6))
    )
    whole, pieces = Client(), Client()
    whole.receive(data)
    for size in sizes:
        pieces.receive(data[:size])
        data = data[size:]
    pieces.receive(data)
    assert pieces.sent == whole.sent
    assert len(whole.messages(FIRST)) == 7


def test_a_message_may_be_cut_into_several_frames():
    client = Client().opened()
    kind, _, _, payload = parse(message(FIRST, result(1)))[0]
    for part in (payload[:3], payload[3:9], payload[9:]):
        client.receive(frames.frame(kind, 0, FIRST, part))
    assert client.messages(FIRST)[-1].chunk.sequence == 2


def test_a_ping_is_answered_with_its_own_bytes():
    sent = Client().receive(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert sent == [(frames.PING, frames.ACK, 0, b"12345678")]


def test_a_stream_waits_for_its_own_window():
    client = Client(streams=2)
    client.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    assert client.messages(FIRST) == []
    client.receive(frames.window_update(SECOND, 100))
    assert (len(client.messages(FIRST)), len(client.messages(SECOND))) == (0, 1)
    client.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
    assert len(client.messages(FIRST)) == 1


def test_a_stream_s_window_is_used_up_by_what_it_sends():
    client = Client()
    client.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 60}))
    client.receive(message(FIRST, OPENED))
    client.receive(message(FIRST, result(1)))
    before = len(client.messages(FIRST))
    client.receive(message(FIRST, result(2)))
    assert len(client.messages(FIRST)) == before
    client.receive(frames.window_update(FIRST, 60))
    assert len(client.messages(FIRST)) == before + 1


def test_all_streams_wait_for_the_connection_s_window():
    client = Client().opened()
    sequence = 1
    while not client.connection._blocked:
        client.receive(message(FIRST, result(sequence)))
        client.receive(frames.window_update(FIRST, 1000))
        sequence += 1
    before = sum(len(payload) for kind, _, _, payload in client.sent if kind == frames.DATA)
    assert frames.DEFAULT_WINDOW - 100 < before <= frames.DEFAULT_WINDOW
    client.receive(frames.window_update(0, 1000))
    assert client.messages(FIRST)[-1].chunk.sequence == sequence


def test_the_connection_s_receive_window_is_filled_up_again(monkeypatch):
    monkeypatch.setattr("benchmarks.load.connection._REPLENISH", 20)
    client = Client().opened()
    data = message(FIRST, result(1))
    kind, _, stream, payload = client.receive(data)[0]
    assert (kind, stream) == (frames.WINDOW_UPDATE, 0)
    received = len(message(FIRST, OPENED)) + len(data) - 2 * frames.HEADER.size
    assert frames.read_word(payload) == received
    assert [kind for kind, *_ in client.receive(message(FIRST, result(2)))] == [frames.DATA]


def test_stopping_closes_after_the_answer_and_ends_with_the_trailers():
    client = Client().opened()
    client.conversations[0].stopping = True
    _, flags, _, _ = client.receive(message(FIRST, result(1)))[-1]
    assert flags == frames.END_STREAM
    assert client.messages(FIRST)[-1].HasField("close")
    client.receive(message(FIRST, CLOSED))
    assert client.connection.open_streams == 1
    ended = frames.frame(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, FIRST, TRAILERS)
    client.receive(ended)
    assert client.connection.open_streams == 0


def test_trailers_with_another_status_are_an_error_even_at_the_end():
    client = Client().opened()
    client.conversations[0].stopping = True
    client.receive(message(FIRST, result(1)) + message(FIRST, CLOSED))
    failed = TRAILERS.replace(b"\x010", b"\x0213") + b"\x00it broke"
    with pytest.raises(LoadError, match=r"ended stream 1: .*it broke"):
        client.receive(frames.frame(frames.HEADERS, frames.END_STREAM, FIRST, failed))


FAILURES = {
    "ended stream 1: .*grpc-status.*quota": frames.frame(
        frames.HEADERS, frames.END_STREAM, FIRST, b"\x00\x0bgrpc-status\x018\x00quota is full"
    ),
    "ended stream 1": frames.frame(frames.HEADERS, frames.END_STREAM, FIRST, TRAILERS),
    "reset stream 1: 8": frames.frame(frames.RST_STREAM, 0, FIRST, b"\0\0\0\x08"),
    "left: error 11, 'too_many_pings'": frames.frame(
        frames.GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\x0btoo_many_pings"
    ),
    "padded": frames.frame(frames.DATA, frames.PADDED, FIRST, b"\1\0\0"),
}


@pytest.mark.parametrize("text", FAILURES)
def test_whatever_ends_the_load_early_is_an_error(text):
    client = Client().opened()
    with pytest.raises(LoadError, match=text):
        client.receive(FAILURES[text])


def test_a_server_that_takes_fewer_streams_is_named():
    with pytest.raises(LoadError, match="takes 1 streams a connection, not 2"):
        Client(streams=2).receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
