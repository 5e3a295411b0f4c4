"""The streams of sequences, each counted as its caller's for as long as a sequence has it.

Owns how a sequence comes by a stream and how it is without one again. Knows nothing of requests'
tensors or their order.
"""

import asyncio

from service.callers.access import Identity
from service.errors import ServiceError
from service.inference.requests import Request
from service.inference.sequence import Sequence
from service.metrics import Metrics
from service.models.served import ServedModel
from service.streams.live import Stream
from service.streams.seam import Streams


class CountedStreams:
    """Opens and closes what sequences run on.

    Attributes:
        now: seconds, by which a sequence is idle.
    """

    def __init__(self, streams: Streams, metrics: Metrics) -> None:
        """Opens streams at the seam; counts those that are refused."""
        self._streams, self._metrics = streams, metrics
        self.now = asyncio.get_running_loop().time

    def enter(self, caller: Identity) -> None:
        """Counts a stream of a caller before it opens.

        Raises:
            Exhausted: it has as many as it may.
        """
        try:
            caller.enter()
        except ServiceError as error:
            self._metrics.refused_open(error.reason)
            raise

    def begin(self, sequence: Sequence, request: Request, model: ServedModel) -> Stream:
        """A new stream for a sequence, in place of the one that it had; refused, it has that still.

        No step of the model is under way, so that the slot of what it had is free at once.
        """
        old = sequence.stream
        if old is None:
            self.enter(request.caller)
        elif not self._streams.draining and old.model is model:
            self._streams.close(old)
        try:
            # The latest of the name: its file may have been read again.
            stream = self._streams.open(request.model, request.version)
        except ServiceError:
            if old is None:
                request.caller.leave()
            raise
        if old is not None:
            self._streams.close(old)
        self.put(sequence, stream, request.caller)
        return stream

    def put(self, sequence: Sequence, stream: Stream, caller: Identity) -> None:
        """Has a sequence go on with a stream that is counted; it is idle from now on."""
        sequence.stream, sequence.caller, stream.owner = stream, caller, caller.name
        sequence.touched = self.now()

    def release(self, sequence: Sequence) -> None:
        """Closes the stream of a sequence, if it has one."""
        if sequence.stream is not None:
            self._streams.close(sequence.stream)
            sequence.stream = None
            sequence.caller.leave()
