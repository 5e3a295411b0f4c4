"""What the benchmark `serving` measures, part by part.

Owns which server is put under which load with which model. Knows nothing of how a load is made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.load.settings import LoadSettings
from benchmarks.model import NAME, USUAL, Sizes
from benchmarks.processes import Server
from benchmarks.serving.contenders import Contender
from benchmarks.serving.settings import PartName, ServingSettings

# Of the parts that are not about the number of streams.
_STREAMS = 64
_IDLE_STREAMS = 4_000
# For the workers, among whom the kernel shares out connections by chance.
_CROWD, _MANY_CONNECTIONS = 256, 32
# Steps of a message at most, where the load's own part of the cores is to be small.
_CHUNK_STEPS = 16
_WORKERS = (1, 2)
_SIZES = (Sizes(16, 64, 1), USUAL, Sizes(64, 256, 2), Sizes(128, 512, 2))


@dataclass(frozen=True)
class Load:
    """What is put on a server.

    Attributes:
        streams: at once.
        connections: that carry them.
        rate: steps a second of all streams together; 0 sends each when its stream's last one is
            answered.
        idle: whether the streams fall silent after a step.
        chunk_steps: of a message.
    """

    streams: int
    connections: int
    rate: float = 0.0
    idle: bool = False
    chunk_steps: int = 1


@dataclass(frozen=True)
class Visit:
    """A server that is started and put under some loads, one after the other.

    Attributes:
        part: of the benchmark.
        contender: the server.
        loads: in their order.
        sizes: of its model.
        workers: processes of the server.
    """

    part: PartName
    contender: Contender
    loads: tuple[Load, ...]
    sizes: Sizes = USUAL
    workers: int = 1

    @property
    def cases(self) -> "list[Case]":
        """One a load."""
        return [Case(self, load) for load in self.loads]

    @property
    def shares_cores(self) -> bool:
        """Whether the server may use the load's core too, since it needs more than one."""
        return self.workers > 1


@dataclass(frozen=True)
class Case:
    """A line of the results: one load of a visit."""

    visit: Visit
    load: Load

    @property
    def name(self) -> str:
        """Tells the case from every other, whatever was measured beside it."""
        load, visit = self.load, self.visit
        pace = f", {load.rate:g} steps/s" if load.rate else ", silent" if load.idle else ""
        if load.chunk_steps > 1:
            pace += f", {load.chunk_steps} steps a message"
        return (
            f"{visit.part}: {visit.contender.name}, {visit.sizes}, workers {visit.workers}, "
            f"streams {load.streams}{pace}"
        )

    def load_settings(self, server: Server, settings: ServingSettings) -> LoadSettings:
        """What the generator is told."""
        return LoadSettings(
            host="127.0.0.1",
            port=server.port,
            model=NAME,
            streams=self.load.streams,
            connections=self.load.connections,
            warmup_seconds=settings.warmup_seconds,
            seconds=settings.seconds,
            server_pid=server.pid,
            wire=self.visit.contender.wire,
            features=self.visit.sizes.features,
            rate=self.load.rate,
            idle=self.load.idle,
            chunk_steps=self.load.chunk_steps,
        )


def plan(
    parts: Sequence[PartName], contenders: Sequence[Contender], settings: ServingSettings
) -> Iterator[Visit]:
    """One turn: whoever is compared comes one right after the other."""
    for part in parts:
        match part:
            case "closed":
                loads = tuple(_load(streams, settings) for streams in settings.streams)
                yield from (Visit(part, one, loads) for one in contenders)
            case "open":
                loads = tuple(_load(_STREAMS, settings, rate) for rate in sorted(settings.rates))
                yield from (Visit(part, one, loads) for one in contenders)
            case "idle":
                silent = Load(_IDLE_STREAMS, settings.connections, idle=True)
                yield from (Visit(part, one, (silent,)) for one in contenders)
            case "sizes":
                loads = (_load(_STREAMS, settings),)
                for sizes in _SIZES:
                    yield from (Visit(part, one, loads, sizes) for one in contenders)
            case "workers":
                for one in filter(lambda one: one.scales, contenders):
                    chunks = (1, _CHUNK_STEPS) if one.wire == "native" else (1,)
                    loads = tuple(
                        Load(_CROWD, _MANY_CONNECTIONS, chunk_steps=steps) for steps in chunks
                    )
                    yield from (Visit(part, one, loads, workers=count) for count in _WORKERS)


def _load(streams: int, settings: ServingSettings, rate: float = 0.0) -> Load:
    return Load(streams, min(settings.connections, streams), rate)
