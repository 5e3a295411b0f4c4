"""Native streams that are silent in an open call: kept, and their calls ended.

Owns how long a stream may be silent and when that is looked at: now and then, by the number of
chunks that its call has brought, so that a chunk costs no clock and no timer. Sequences have a
limit of their own. Knows nothing of transports.
"""

import asyncio

from service.background import every
from service.durability.kept import KeptStreams
from service.errors import Unavailable
from service.streams.live import Stream
from service.streams.seam import Streams

# Looks within the time that a stream may be silent: it is given at most a half more.
_LOOKS = 4
# Seconds between two looks; each passes over all streams, 1 ms of 10,000.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 15.0


class Silence:
    """The one who ends silent calls."""

    def __init__(self, streams: Streams, kept: KeptStreams, seconds: float) -> None:
        """Lets a stream be silent for so many seconds."""
        self._streams = streams
        self._kept = kept
        self._seconds = seconds
        # Of each stream, the chunks it had brought when it was first found with so many, and when.
        self._found: dict[Stream, tuple[int, float]] = {}

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        pause = min(max(self._seconds / _LOOKS, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        loop = asyncio.get_running_loop()
        await every(pause, "the look for silent streams", lambda: self.look(loop.time()))

    def look(self, now: float) -> None:
        """Keeps the streams that are silent for too long, and tells their calls."""
        found = {}
        for stream in self._streams:
            if stream.on_end is None or stream.busy:
                # It has no native call, or waits for us.
                continue
            heard, since = self._found.get(stream, (stream.heard, now))
            if heard != stream.heard:
                since = now
            if now - since >= self._seconds:
                self._kept.send_away(stream, self._reason(stream), "idle")
            else:
                found[stream] = (stream.heard, since)
        self._found = found

    def _reason(self, stream: Stream) -> Unavailable:
        lives_on = "ended with its call: open a new one"
        if stream.keeping is not None:
            lives_on = "is kept: resume it"
        return Unavailable(
            f"stream {stream.id!r} was silent for {self._seconds:g} s and {lives_on}, or have the "
            "server's stream_idle_seconds raised",
            reason="IDLE",
            stream_id=stream.id,
        )
