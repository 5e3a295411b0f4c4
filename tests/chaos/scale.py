"""How much a run of these tests takes: a part of `make test`, or `make soak`."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One of the two sizes.

    Attributes:
        streams: open side by side.
        chunks: of each stream.
        kills: of servers while they are open.
        seconds: of coming and going at saturation.
        examples: of what a fuzzer makes, for each door.
        patience: seconds after which a test that does not end is stopped.
    """

    streams: int
    chunks: int
    kills: int
    seconds: float
    examples: int
    patience: int


_SOAK_SECONDS = os.environ.get("SOAK_SECONDS")
SCALE = (
    Scale(streams=200, chunks=200, kills=20, seconds=float(_SOAK_SECONDS), examples=5_000,
          patience=int(float(_SOAK_SECONDS)) + 1_800)
    if _SOAK_SECONDS
    else Scale(streams=40, chunks=40, kills=4, seconds=20.0, examples=100, patience=300)
)  # fmt: skip
