"""What a server has refused of a stream's chunks, until everything in flight is answered.

Owns whether the refused chunks are sent again by themselves, and after which pause: those that came
too fast are, any others are the caller's to correct. Knows nothing of gRPC, and does not wait.
"""

from statewise_client._generated.statewise.v1.stream_pb2 import Refused
from statewise_client.arrays import Float32
from statewise_client.errors import ChunkRefused, ProtocolError
from statewise_client.parts import Part, joined

# The server tells whole milliseconds, rounded down.
_ROUNDING = 0.001


class Refusals:
    """The refused chunks of one stream; none most of the time.

    Attributes:
        first: what the first of them was told; those behind it could not be taken in any case.
        parts: all of them in their order, of which no result was ever seen.
        echoes: how many more were refused before them, that were sent a second time.
    """

    def __init__(self, patience: float) -> None:
        """Begins with none.

        Args:
            patience: longest pause in seconds that a server may ask for; 0 for none at all.
        """
        self.first: ChunkRefused | None = None
        self.parts: list[Part] = []
        self.echoes = 0
        self._patience = patience
        self._told: float | None = None

    def add(self, refused: Refused, part: Part, expected: int, before: list[Float32]) -> None:
        """Takes note that a chunk was refused.

        Args:
            refused: what the server said.
            part: what it refused.
            expected: the number behind the highest result that has arrived.
            before: outputs of the parts before it, where a chunk was sent in parts.

        Raises:
            ProtocolError: it is another chunk's refusal, or expects the wrong one.
        """
        due = expected - self.echoes
        if (refused.sequence, refused.expected_sequence) != (part.sequence, due):
            raise ProtocolError(
                f"a refusal has sequence {refused.sequence} and expects "
                f"{refused.expected_sequence}; {part.sequence} was sent and {due} was due"
            )
        self._note(refused, joined(before) if before else None)
        self.parts.append(part)

    def add_echo(self, refused: Refused, sequence: int) -> bool:
        """Takes note that a chunk which had a result once is refused where it was sent again.

        Args:
            refused: what the server said.
            sequence: the chunk's number.

        Returns:
            Whether it, or one before it, came too fast; else it can't be refused.
        """
        if (refused.sequence, refused.expected_sequence) != (sequence, sequence - self.echoes):
            return False
        if self.first is None and _told_pause(refused) is None:
            return False
        self._note(refused, None)
        self.echoes += 1
        return True

    def _note(self, refused: Refused, outputs: Float32 | None) -> None:
        told = _told_pause(refused)
        if self.first is None:
            self.first = ChunkRefused(
                refused.sequence, refused.reason, refused.message, refused.metadata, outputs, told
            )
        if told is not None:
            # The latest is counted from now.
            self._told = told

    @property
    def pause(self) -> float | None:
        """Seconds after which all of it is sent again; None where it is the caller's to judge."""
        if self.first is None or self.first.retry_after is None or self._told is None:
            return None
        # A caller that has the outputs already can't send the chunk itself.
        kept = self.echoes or self._told <= self._patience
        return self._told + _ROUNDING if kept else None

    def clear(self) -> None:
        """Nothing is refused any more."""
        self.first, self._told = None, None
        self.parts, self.echoes = [], 0


def _told_pause(refused: Refused) -> float | None:
    """Seconds after which the server would take the same chunk; None where it names none."""
    told = refused.metadata.get("retry_after_ms", "")
    return int(told) / 1e3 if told.isdecimal() else None
