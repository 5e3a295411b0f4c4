"""How much of the benchmark `serving` is measured.

Owns the values, their limits and their defaults: what a newcomer waits two minutes for.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from benchmarks.errors import SettingsError

PartName = Literal["closed", "open", "idle", "sizes", "workers"]
PARTS: tuple[PartName, ...] = get_args(PartName)


@dataclass(frozen=True)
class ServingSettings:
    """How much is measured.

    Attributes:
        repeats: turns of each server; figures are medians, so that one disturbed turn of 3 does no
            harm.
        seconds: measured in each turn, for each load; the kernel counts processor time in
            hundredths, of which this has 150.
        warmup_seconds: load before that, in which caches and windows fill.
        streams: at once, in turn, for `closed`; the other parts have the benchmark's own.
        rates: steps a second of all streams together, in turn, for `open`.
        connections: HTTP/2 connections that carry the streams. From 1 to 16, neither our nor a
            plain server's cost a step changes by more than its noise; at 64, one a stream, both
            cost 10 to 30% more.
    """

    repeats: int = 3
    seconds: float = 1.5
    warmup_seconds: float = 0.5
    streams: tuple[int, ...] = (1, 64, 1000)
    rates: tuple[float, ...] = (1e3, 2.5e3, 5e3, 7.5e3, 10e3, 15e3, 20e3, 25e3, 30e3)
    connections: int = 4

    def __post_init__(self) -> None:
        """Refuses what can't be measured."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            for one in value if isinstance(value, tuple) else (value,):
                self._check(setting.name, one)

    @staticmethod
    def _check(name: str, value: float) -> None:
        if name in ("repeats", "streams", "connections") and value < 1:
            raise SettingsError(f"{name} is {value}; take 1 or more")
        if name in ("seconds", "rates") and value <= 0:
            raise SettingsError(f"{name} is {value:g}; take more than 0")
        if name == "warmup_seconds" and value < 0:
            raise SettingsError(f"{name} is {value:g}; take 0 or more")


# To see that everything works.
QUICK = ServingSettings(
    repeats=1, seconds=0.5, warmup_seconds=0.2, streams=(1, 64), rates=(1e3, 5e3)
)
