"""The chunks of a stream and their answers.

Owns the numbers of chunks, the cutting of long ones and the joining of their outputs, whether each
answer is the one that is due, what a caller may ask of the stream now, and what is sent and dropped
when a broken call goes on in another. Knows nothing of gRPC or of waiting: chunks and replies in,
messages and outputs out.
"""

from collections import deque
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike

from statewise_client._generated.statewise.v1.stream_pb2 import (
    ClientMessage,
    Refused,
    Result,
    ServerMessage,
)
from statewise_client.arrays import Float32, to_steps
from statewise_client.errors import ChunkRefused, ProtocolError, StreamFailed, StreamMisused
from statewise_client.going_on import warn, went_on
from statewise_client.opening import Opening
from statewise_client.parts import Part, joined, max_steps, message_of, outputs_of
from statewise_client.protocol import Ended, StreamInfo, closing, read_closed
from statewise_client.refusals import Refusals
from statewise_client.replay import REPLAY_BYTES, Replay


class Exchange:
    """One stream's chunks, in the order in which they are sent and answered.

    Attributes:
        info: what the server said of the stream; kept up to date where it goes on elsewhere.
        in_flight: chunks that were sent and are not answered yet.
        is_over: whether the stream was closed or has failed.
    """

    def __init__(
        self,
        info: StreamInfo,
        opening: Opening,
        *,
        replay_bytes: int = REPLAY_BYTES,
        patience: float = 0.0,
    ) -> None:
        """Begins after Opened.

        Args:
            info: what Opened said.
            opening: what was asked for.
            replay_bytes: most bytes of chunks that are kept to be sent again.
            patience: longest pause in seconds that the server may ask for before it takes a chunk.
        """
        self.info = info
        self.is_over = False
        self._opening = opening
        self._max_steps = max_steps(info)
        self._next = info.expected_sequence
        # What the server takes next, as far as its answers tell.
        self._expected = info.expected_sequence
        if opening.received is not None:
            self._expected = min(self._expected, opening.received + 1)
        # Results of an earlier caller's chunks come unasked.
        earlier = range(self._expected, self._next)
        self._waiting = deque(Part(number, None, True, False, None) for number in earlier)
        self.in_flight = len(earlier)
        self._answered: list[Float32] = []
        self._refusals = Refusals(patience)
        self._replay = Replay(replay_bytes)
        # How many answers come a second time before the next new one.
        self._echoes = 0
        self._steps = info.steps
        self._closing: ClientMessage | None = None
        warn(info)

    @property
    def received(self) -> int:
        """The highest number whose result has arrived."""
        return self._expected - 1

    @property
    def is_closing(self) -> bool:
        """Whether the stream was asked to close."""
        return self._closing is not None

    def check_open(self) -> None:
        """Raises StreamMisused where the stream is over."""
        if self.is_over:
            raise StreamMisused(f"stream {self.info.stream_id!r} is over; open a new one")

    def check_idle(self) -> None:
        """Raises StreamMisused where the stream is over, or the next answer is another chunk's."""
        self.check_open()
        if self.in_flight:
            raise StreamMisused(f"chunks in flight: {self.in_flight}; receive their outputs first")

    def check_due(self) -> None:
        """Raises StreamMisused where the stream is over, or no answer is due."""
        self.check_open()
        if not self.in_flight:
            raise StreamMisused("nothing is in flight; send a chunk first")

    def send(self, values: ArrayLike) -> list[ClientMessage]:
        """The messages that carry a chunk.

        Args:
            values: (features,) or (steps, features).

        Raises:
            ChunkRefused: the chunk can't be what the model takes; nothing is to be sent.
            StreamMisused: the stream is over.
        """
        self.check_open()
        steps = to_steps(values, self.info.features, self._next)
        starts = range(0, len(steps), self._max_steps)
        is_single = np.ndim(values) == 1
        messages = []
        for start in starts:
            part = steps[start : start + self._max_steps]
            messages.append(message := message_of(self._next, part, self.received))
            last = start == starts[-1]
            self._waiting.append(Part(self._next, len(part), last, is_single, message))
            self._replay.keep(self._next, part.nbytes, message)
            self._next += 1
        self.in_flight += 1
        return messages

    def receive(self, reply: ServerMessage) -> Float32 | None:
        """Takes the next answer.

        A refused chunk's number is expected again: what was sent behind it is refused as well. When
        all of that is in, it is sent `again` after a `pause` that the server asks for; without one
        the refusal is raised, and the next chunk can be sent.

        Args:
            reply: answers the oldest message in flight, which has to be there; or comes again.

        Returns:
            The outputs of a chunk, (outputs,) or (steps, outputs) as the chunk was; None where
            more answers are due first.

        Raises:
            ChunkRefused: the oldest chunk in flight was refused; nothing is in flight any more.
            ProtocolError: it is not the answer that is due; the stream can't go on.
        """
        kind = reply.WhichOneof("message") or "empty"
        if self._echoes:
            self._drop(kind, reply)
            return None
        part = self._waiting.popleft()
        if kind == "result":
            return self._accept(part, reply.result)
        if kind == "refused" and part.message is not None:
            self._refuse(part, reply.refused)
            return None
        raise ProtocolError(f"a reply is {kind} where the answer to chunk {part.sequence} was due")

    @property
    def pause(self) -> float | None:
        """Seconds after which what was refused is sent `again`; None where nothing is."""
        return None if self._echoes or self._waiting else self._refusals.pause

    def again(self) -> list[ClientMessage]:
        """The messages that the server refused since they came too fast, to be sent now."""
        refused = self._refusals
        echoed = self._replay.since(self._expected - refused.echoes)[: refused.echoes]
        self._echoes, self._waiting = refused.echoes, deque(refused.parts)
        refused.clear()
        return echoed + [part.message for part in self._waiting if part.message is not None]

    def close(self, *, return_state: bool) -> ClientMessage:
        """The message that closes the stream, behind which nothing is sent.

        Raises:
            StreamMisused: the stream is over.
        """
        self.check_open()
        self._closing = closing(return_state=return_state)
        return self._closing

    def end(self, reply: ServerMessage) -> Ended | None:
        """Takes the next reply behind Close; outputs are dropped.

        Returns:
            How the stream ended; None where answers were due first.

        Raises:
            ProtocolError: it is not the reply that is due.
        """
        if not (self._waiting or self._echoes):
            return read_closed(reply)
        with suppress(ChunkRefused):
            self.receive(reply)
        return None

    def ended_unseen(self, failed: StreamFailed) -> Ended | None:
        """How a stream ended whose Close was taken by a call that broke before Closed.

        Args:
            failed: why it can't be opened again.

        Returns:
            None where it did not end so, or its state was asked for and is lost.
        """
        if self._closing is None or self._closing.close.return_state:
            return None
        unknown = failed.reason == "STREAM_NOT_FOUND" and not self._waiting
        if failed.reason != "STREAM_CLOSED" and not unknown:
            return None
        return Ended(self._steps + sum(part.steps or 0 for part in self._waiting))

    def reopening(self) -> ClientMessage:
        """The message that opens the stream again after its call has broken."""
        lowest = self._replay.lowest(self._next)
        return self._opening.resuming(self.info, self.received, lowest)

    def reopened(self, info: StreamInfo) -> list[ClientMessage]:
        """Goes on in another call.

        Args:
            info: what Opened said this time.

        Returns:
            What is to be sent again.

        Raises:
            StreamFailed: the server goes on with another model, or from where nothing is kept.
            ProtocolError: it expects a chunk that was never sent.
        """
        if self._refusals.pause is not None:
            self._waiting.extendleft(reversed(self._refusals.parts))
            self._refusals.clear()
        elif self._refusals.first is not None:
            # What was sent behind a refused chunk would be refused as well.
            self._waiting.clear()
            self._withdraw()
        expected = info.expected_sequence
        self.info = went_on(self.info, info, self._replay.lowest(self._next), self._next)
        self._echoes = max(0, self._expected - expected)
        self._max_steps = max_steps(info)
        again = self._replay.since(expected)
        return again if self._closing is None else [*again, self._closing]

    def settle(self) -> None:
        """Raises the refusal that was held back for answers which will not come any more.

        Raises:
            ChunkRefused: as from `receive`.
        """
        if not self._waiting and not self.is_closing:
            self._raise_refusal()

    def _drop(self, kind: str, reply: ServerMessage) -> None:
        due, result = self._expected - self._echoes, reply.result
        if kind == "result" and result.sequence == due:
            self._replay.forget(min(result.durable_sequence, self.received))
        elif self.is_closing or not self._refusals.add_echo(reply.refused, due):
            raise ProtocolError(
                f"a reply is {kind} with sequence {result.sequence} where the result of chunk "
                f"{due} was due again"
            )
        self._echoes -= 1

    def _accept(self, part: Part, result: Result) -> Float32 | None:
        if not result.sequence == part.sequence == self._expected:
            raise ProtocolError(
                f"a result has sequence {result.sequence}; {part.sequence} was sent and "
                f"{self._expected} was due"
            )
        self._answered.append(outputs_of(part, result, len(self.info.outputs)))
        self._expected += 1
        self._steps += result.steps
        self._replay.forget(min(result.durable_sequence, self.received))
        if not part.ends_chunk:
            return None
        outputs = joined(self._answered)
        self._answered.clear()
        self.in_flight -= 1
        return outputs[0] if part.is_single else outputs

    def _refuse(self, part: Part, refused: Refused) -> None:
        self._refusals.add(refused, part, self._expected, self._answered)
        if not self._waiting and self._refusals.pause is None:
            self._raise_refusal()

    def _raise_refusal(self) -> None:
        if (refusal := self._refusals.first) is None:
            return
        self._answered.clear()
        self._refusals.clear()
        self._withdraw()
        self.in_flight = 0
        raise refusal

    def _withdraw(self) -> None:
        """The numbers from the refused chunk's on will be other chunks'."""
        self._next = self._expected
        self._replay.withdraw(self._next)
