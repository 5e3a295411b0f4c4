"""What a load is told, and what it reports.

Owns both as plain values, which pass between processes as options and as JSON.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.errors import SettingsError
from benchmarks.load.rows import ROWS

WireName = Literal["native", "triton", "mlserver"]


@dataclass(frozen=True)
class LoadSettings:
    """What to send where.

    Attributes:
        host, port: where the server listens.
        model: the model to open.
        streams: how many at once.
        connections: over how many HTTP/2 connections they are spread.
        warmup_seconds: load before the clock starts.
        seconds: load that is measured.
        server_pid: the server's process, whose processor time is read; 0 for another machine's.
        wire: statewise.v1, or the Open Inference Protocol as Triton or as MLServer streams it.
        features: numbers of a step; the native wire asks the server.
        rate: steps a second of all streams together, sent whether or not the last ones are
            answered; 0 sends each when its stream's last one is.
        surplus: callers beside the streams, for whom the server has no room: from when the clock
            starts they come, and come again when it has told them to; only at a rate. As long as
            the clock runs the streams are also measured before they come and when they are gone.
        chunk_steps: of a message; only the native wire carries more than one.
        idle: whether the streams only open, take a step and fall silent.
    """

    host: str
    port: int
    model: str
    streams: int
    connections: int
    warmup_seconds: float
    seconds: float
    server_pid: int = 0
    wire: WireName = "native"
    features: int = 32
    rate: float = 0.0
    surplus: int = 0
    chunk_steps: int = 1
    idle: bool = False

    def __post_init__(self) -> None:
        """Refuses loads that can't be made."""
        if self.streams < 1:
            raise SettingsError(f"streams is {self.streams}; take 1 or more")
        if not 1 <= self.connections <= self.streams:
            raise SettingsError(
                f"connections is {self.connections}; take a value from 1 to {self.streams}, "
                "the number of streams"
            )
        if self.seconds <= 0:
            raise SettingsError(f"seconds is {self.seconds:g}; take more than 0")
        if self.wire not in get_args(WireName):
            raise SettingsError(
                f"wire is {self.wire!r}; take one of {', '.join(get_args(WireName))}"
            )
        if self.rate < 0 or self.features < 1:
            raise SettingsError("rate and features can't be negative, nor features 0")
        if self.surplus < 0 or (self.surplus and not self.rate):
            raise SettingsError(f"surplus is {self.surplus}; take 0 or more, and give a rate")
        if self.chunk_steps < 1 or ROWS % self.chunk_steps:
            raise SettingsError(f"chunk_steps is {self.chunk_steps}; take a divisor of {ROWS}")
        if self.chunk_steps > 1 and self.wire != "native":
            raise SettingsError(f"chunk_steps is {self.chunk_steps}; {self.wire} takes 1")

    @property
    def longest_seconds(self) -> float:
        """How long the load lasts once its streams are open."""
        return self.warmup_seconds + (3 if self.surplus else 1) * self.seconds


@dataclass(frozen=True)
class LoadReport:
    """What was measured while the clock ran, and how the server answered.

    Attributes:
        steps: results that arrived.
        seconds: how long the clock ran.
        load_cpu_seconds: processor time of this generator.
        server_cpu_seconds: processor time of the server and its children.
        other_cpu_seconds: processor time of the rest of the machine, which may have disturbed.
        latency_p50_ms, latency_p90_ms, latency_p99_ms, latency_p999_ms: from when a message was
            sent, or was due at a rate, to its result's arrival.
        late_p99_ms: how long after it was due a step was sent, at a rate: the generator's own part.
        starved_streams: streams without any answer.
        refused: opens of the surplus that were refused.
        refused_otherwise: those of them that were not RESOURCE_EXHAUSTED with a retry hint.
        refused_p50_ms, refused_p99_ms: from an open to its refusal.
        let_in: opens of the surplus that were not refused.
        before_p50_ms, before_p90_ms, before_p99_ms: latency before a surplus came.
        onset_p50_ms, onset_p90_ms, onset_p99_ms: latency in the first 3 seconds beside it.
        after_p50_ms, after_p90_ms, after_p99_ms: latency once it was gone.
        idle_bytes_per_stream: memory that the server holds for a silent stream.
    """

    steps: int = 0
    seconds: float = 0.0
    load_cpu_seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    other_cpu_seconds: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p90_ms: float = 0.0
    latency_p99_ms: float = 0.0
    latency_p999_ms: float = 0.0
    late_p99_ms: float = 0.0
    starved_streams: int = 0
    refused: int = 0
    refused_otherwise: int = 0
    refused_p50_ms: float = 0.0
    refused_p99_ms: float = 0.0
    let_in: int = 0
    before_p50_ms: float = 0.0
    before_p90_ms: float = 0.0
    before_p99_ms: float = 0.0
    onset_p50_ms: float = 0.0
    onset_p90_ms: float = 0.0
    onset_p99_ms: float = 0.0
    after_p50_ms: float = 0.0
    after_p90_ms: float = 0.0
    after_p99_ms: float = 0.0
    idle_bytes_per_stream: float = 0.0
