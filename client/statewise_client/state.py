"""The states of streams, apart from any call of theirs: what is asked and what is told.

Owns what a server says of a stream that is live or kept. Knows nothing of gRPC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from statewise_client._generated.statewise.v1 import state_pb2 as wire


@dataclass(frozen=True)
class StreamSummary:
    """A stream that is live or kept.

    Attributes:
        stream_id: its name.
        model, version: what computes its steps.
        sequence: chunks that its state has taken.
        steps: steps that its state has taken.
        live: whether a call advances it now.
        owner: the identity that opened it; empty without authentication.
        stored: when its state was stored, in UTC; None for one that was not.
    """

    stream_id: str
    model: str
    version: str
    sequence: int
    steps: int
    live: bool
    owner: str
    stored: datetime | None

    @classmethod
    def read(cls, told: wire.StreamSummary) -> Self:
        """What a server said."""
        stored = datetime.fromtimestamp(told.stored_unix_ms / 1e3, UTC)
        return cls(
            stream_id=told.stream_id,
            model=told.model,
            version=told.version,
            sequence=told.sequence,
            steps=told.steps,
            live=told.live,
            owner=told.owner,
            stored=stored if told.stored_unix_ms else None,
        )
