"""A server and a caller of one stream without a network, which break when they are told to."""

import itertools
from collections import deque

import numpy as np
from fake_model import FEATURES, OUTPUTS, Refusal, answer, open_kept, refused, too_fast
from statewise_client.errors import ChunkRefused, StreamFailed
from statewise_client.exchange import Exchange
from statewise_client.opening import Opening
from statewise_client.protocol import StreamInfo

from protos.statewise.v1 import stream_pb2 as wire

NAME = "pump-7"
OPENING = Opening("sum", stream_id=NAME)


def info(expected: int = 1, **changes) -> StreamInfo:
    known = {
        "stream_id": NAME,
        "model": "sum",
        "version": "1",
        "content_digest": "weights",
        "numeric_fingerprint": "bits",
        "features": FEATURES,
        "outputs": OUTPUTS,
        "outputs_are_classes": False,
        "steps_per_second": 0.0,
        "max_chunk_steps": 4,
        "expected_sequence": expected,
    }
    return StreamInfo(**known | changes)


class Server:
    """Keeps one stream; its calls break, it dies, it refuses new chunks, and any as too fast."""

    def __init__(self, bad: set[int], fast: set[int] = frozenset()) -> None:
        self.streams, self.bad, self.turn, self.highest = {}, bad, 0, 0
        self.fast = fast
        self.inbox, self.outbox, self.broken = deque(), deque(), False
        self.open(OPENING.message())

    def open(self, message: wire.ClientMessage) -> StreamInfo:
        kept, resumed = open_kept(self.streams, message.open)
        self.inbox, self.outbox, self.broken = deque(), deque(), False
        if resumed:
            first = message.open.resume.received + 1
            self.outbox.extend(kept.results[one] for one in range(first, kept.sequence + 1))
        return info(kept.sequence + 1, steps=kept.steps, resumed=resumed)

    def take(self, messages) -> None:
        if not self.broken:
            self.inbox.extend(messages)

    def compute(self) -> None:
        if not self.inbox:
            return
        kept, message = self.streams[NAME], self.inbox.popleft()
        if message.HasField("close"):
            kept.closed = True
            self.outbox.append(wire.ServerMessage(closed=wire.Closed(steps=kept.steps)))
            return
        chunk, self.turn = message.chunk, self.turn + 1
        if self.turn in self.bad and chunk.sequence > self.highest:
            reply = refused(chunk, "BAD", kept.sequence + 1)
        elif self.turn in self.fast and not any(one.HasField("close") for one in self.inbox):
            reply = too_fast(chunk, kept.sequence + 1, 2_000)
        else:
            reply = answer(kept, chunk, lambda sequence: False)
        self.highest = max(self.highest, kept.sequence)
        self.outbox.append(reply)

    def store(self) -> None:
        self.streams[NAME].store()

    def cut(self, arrives: int) -> None:
        """The call breaks; the first answers that are on their way still arrive."""
        self.inbox.clear()
        self.outbox = deque(itertools.islice(self.outbox, arrives))
        self.broken = True

    def kill(self, arrives: int) -> None:
        self.cut(arrives)
        kept = self.streams[NAME]
        if not kept.closed:
            self.streams = {} if (left := kept.lose()) is None else {NAME: left}


class Caller:
    """Sends steps in chunks and takes their outputs, as `run` does; then closes."""

    def __init__(self, server: Server, steps, chunk: int, in_flight: int) -> None:
        self.server, self.steps, self.chunk, self.limit = server, steps, chunk, in_flight
        self.exchange = Exchange(info(), OPENING, patience=60.0)
        self.outputs, self.position, self.ended = [np.empty((0, 2), np.float32)], 0, None

    @property
    def taken(self) -> int:
        return sum(map(len, self.outputs))

    def send(self) -> None:
        if self.position < len(self.steps) and self.exchange.in_flight < self.limit:
            chunk = self.steps[self.position : self.position + self.chunk]
            self.server.take(self.exchange.send(chunk))
            self.position += len(chunk)
        elif self.taken == len(self.steps) and not self.exchange.is_closing:
            self.server.take([self.exchange.close(return_state=False)])

    def receive(self) -> None:
        if self.exchange.pause is not None:
            self.server.take(self.exchange.again())
        try:
            if self.server.outbox:
                self.read(self.server.outbox.popleft())
            elif self.server.broken:
                self.reopen()
        except ChunkRefused as refusal:
            if refusal.outputs is not None:
                self.outputs.append(refusal.outputs)
            self.position = self.taken

    def read(self, reply) -> None:
        if self.exchange.is_closing:
            self.ended = self.exchange.end(reply)
        elif (outputs := self.exchange.receive(reply)) is not None:
            self.outputs.append(outputs)

    def reopen(self) -> None:
        # Noticed by whoever waits for an answer, and by nobody else.
        if not (self.exchange.in_flight or self.exchange.is_closing):
            return
        try:
            told = self.server.open(self.exchange.reopening())
        except Refusal as refusal:
            failed = StreamFailed(refusal.args[0].name, "", reason=refusal.args[1])
            self.ended = self.exchange.ended_unseen(failed)
            assert self.ended is not None, refusal
            return
        self.server.take(self.exchange.reopened(told))
        self.exchange.settle()
