"""Calls of grpc without an event loop: a stream's, and the questions that have one answer.

Owns the waiting and the queue by which messages go out: gRPC's own thread sends, so that a full
network never keeps a stream from reading. `aio_call` is the same with an event loop.
"""

import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Timer
from typing import Any, TypeAlias, TypeVar

import grpc

from statewise_client import status
from statewise_client._generated.statewise.v1.stream_pb2 import ClientMessage, ServerMessage
from statewise_client._generated.statewise.v1.stream_pb2_grpc import StreamServiceStub
from statewise_client.asking import Asking
from statewise_client.channel import OPTIONS, Channels
from statewise_client.errors import ProtocolError, StatewiseError
from statewise_client.opening import Opening
from statewise_client.protocol import StreamInfo, read_opened
from statewise_client.reconnect import mends
from statewise_client.settings import Settings

_T = TypeVar("_T")
# Quoted, since gRPC\'s classes take their types in stubs alone.
_Question: TypeAlias = "Callable[[grpc.Channel], grpc.UnaryUnaryMultiCallable[Any, _T]]"


class Line:
    """Calls to any of a client's servers."""

    def __init__(self, settings: Settings) -> None:
        """Begins without a connection."""
        self.settings = settings
        self._channels = Channels(self._channel)
        # Whether any server has answered so far.
        self._met = False

    def first(self, opening: Opening) -> tuple["Call", StreamInfo]:
        """Opens a stream on the first server that takes it.

        Raises:
            ConnectionFailed, StreamRefused, ProtocolError: none did; the last one's answer.
        """
        named, again = opening.named, False
        *others, last = self.settings.targets
        for target in others:
            try:
                return self.open(target, named.message(again=again))
            except StatewiseError as error:
                if not mends(error):
                    raise
            # It may have been opened unseen, if only under an id that nobody else has.
            again = not opening.stream_id
        return self.open(last, named.message(again=again))

    def open(self, target: str, message: ClientMessage) -> tuple["Call", StreamInfo]:
        """Opens a stream.

        Raises:
            ConnectionFailed, StreamRefused, ProtocolError: it was not opened.
            StreamMisused: the client is closed.
        """
        channel, seconds = self._channels.to(target), self.settings.open_timeout
        call = Call(target, channel, self.settings)
        late = Event()

        def give_up() -> None:
            late.set()
            call.cut()

        # A deadline of gRPC's would be the whole stream's.
        timer = Timer(seconds, give_up)
        timer.start()
        try:
            call.put(message)
            info = read_opened(call.read())
            self._met = True
            return call, info
        except grpc.RpcError as error:
            refusal: StatewiseError = status.refusal(target, error)
            if late.is_set():
                refusal = status.unanswered(target, seconds)
            self._channels.note(channel, refusal)
            raise refusal from None
        except BaseException:
            call.cut()
            raise
        finally:
            timer.cancel()

    def ask(self, question: "_Question[_T]", request: Any, *, reads: bool = False) -> _T:
        """Asks the first server that answers.

        Args:
            question: the method of a channel's stub.
            request: its message.
            reads: whether it changes nothing, so that it may be asked twice.

        Raises:
            ConnectionFailed: none answers.
            ConnectionBroken: one was there, and it may be done.
            StreamRefused: one refuses.
        """
        settings = self.settings
        asking = Asking(settings.targets, settings.resume_timeout, reads=reads, met=self._met)
        while True:
            try:
                answer = self._ask(asking.target, question, request)
                self._met = True
                asking.answered()
                return answer
            except StatewiseError as error:
                pause = asking.after(error)
            time.sleep(pause)

    def left(self, call: "Call", error: StatewiseError) -> None:
        """Takes note of why a call broke."""
        self._channels.note(call.channel, error)

    def close(self) -> None:
        """Ends every connection."""
        for channel in self._channels.close():
            channel.close()

    def _ask(self, target: str, question: "_Question[_T]", request: Any) -> _T:
        settings, channel = self.settings, self._channels.to(target)
        method = question(channel)
        try:
            return method(request, timeout=settings.open_timeout, metadata=settings.metadata)
        except grpc.RpcError as error:
            failure = status.answer(target, error, settings.open_timeout)
            self._channels.note(channel, failure)
            raise failure from None

    def _channel(self, target: str) -> grpc.Channel:
        if self.settings.credentials is None:
            return grpc.insecure_channel(target, OPTIONS)
        return grpc.secure_channel(target, self.settings.credentials, OPTIONS)


class Call:
    """A call of StreamService.Stream, from its start to its end.

    Attributes:
        target: the server that is called.
        channel: the way to it.
    """

    def __init__(self, target: str, channel: grpc.Channel, settings: Settings) -> None:
        """Starts the call."""
        self.target = target
        self.channel = channel
        self._outbox: SimpleQueue[ClientMessage | None] = SimpleQueue()
        # An iterator of ServerMessage that can be cancelled; gRPC's types have no name for it.
        self._call: Any = StreamServiceStub(channel).Stream(
            iter(self._outbox.get, None), metadata=settings.metadata
        )

    def put(self, message: ClientMessage) -> None:
        """Sends a message as soon as the network takes it."""
        self._outbox.put(message)

    def half_close(self) -> None:
        """Tells the server, behind what was put, that no more will come."""
        self._outbox.put(None)

    def cut(self) -> None:
        """Ends the call now, if it has not ended; the server keeps the stream."""
        # In this order: a half-closed call would be a stream that was closed.
        self._call.cancel()
        self.half_close()

    def read(self) -> ServerMessage:
        """Waits for the next message.

        Raises:
            grpc.RpcError: the call ended with a status that is not OK.
            ProtocolError: it ended with OK.
        """
        answer: ServerMessage | None = next(self._call, None)
        if answer is None:
            raise ProtocolError("the server ended the call where an answer was due")
        return answer
