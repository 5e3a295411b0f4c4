"""The closed loop: every stream sends its next step when its last one is answered.

Owns the sockets, the clock and the figures. Knows nothing of frames or messages.
"""

import gc
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks import cores
from benchmarks.errors import LoadError, SettingsError
from benchmarks.load.connection import Connection
from benchmarks.load.conversation import Conversation

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 20.0
_READ_BYTES = 1 << 18
_MS_PER_NS = 1e-6


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
    """

    host: str
    port: int
    model: str
    streams: int
    connections: int
    warmup_seconds: float
    seconds: float
    server_pid: int = 0

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


@dataclass(frozen=True)
class LoadReport:
    """What was measured while the clock ran, and how the server answered.

    Attributes:
        steps: results that arrived.
        seconds: how long the clock ran.
        load_cpu_seconds: processor time of this generator.
        server_cpu_seconds: processor time of the server and its children.
        latency_p50_ms, latency_p99_ms: from a step's send to its result's arrival.
    """

    steps: int
    seconds: float
    load_cpu_seconds: float
    server_cpu_seconds: float
    latency_p50_ms: float
    latency_p99_ms: float


class Generator:
    """One run of a load.

    Attributes:
        conversations: the streams, with all their outputs once the run is over.
    """

    def __init__(self, settings: LoadSettings) -> None:
        self._settings = settings
        self._latencies: list[int] = []
        self._poll = select.epoll()
        self._links: dict[int, tuple[socket.socket, Connection]] = {}
        self.conversations = [
            Conversation(settings.model, index, self._latencies)
            for index in range(settings.streams)
        ]

    def run(self) -> LoadReport:
        """Opens the streams, drives them, measures, and closes them.

        Raises:
            LoadError: the server can't be reached, refused, broke the wire or fell silent.
        """
        with self._connected():
            self._drive(self._settings.warmup_seconds)
            report = self._measure()
            self._finish()
        return report

    def run_until_all_have_answers(self) -> list[int]:
        """Drives the streams until the last has had its first answer; gives the steps of each.

        Raises:
            LoadError: as `run`.
        """
        with self._connected():
            while not all(conversation.outputs for conversation in self.conversations):
                self._exchange()
        return [len(conversation.outputs) for conversation in self.conversations]

    @contextmanager
    def _connected(self) -> Iterator[None]:
        # Nothing here is garbage until the end; a collection would only disturb the clock.
        gc.disable()
        try:
            self._connect()
            yield
        finally:
            for link, _ in self._links.values():
                link.close()
            self._poll.close()
            gc.enable()

    def _connect(self) -> None:
        address = (self._settings.host, self._settings.port)
        for index in range(self._settings.connections):
            try:
                link = socket.create_connection(address, _CONNECT_SECONDS)
            except OSError as error:
                raise LoadError(
                    f"target {address[0]}:{address[1]} can't be reached: {error}"
                ) from None
            # With a timeout, each call would ask the kernel twice; the epoll has one instead.
            link.settimeout(None)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            streams = self.conversations[index :: self._settings.connections]
            connection = Connection(streams, f"{address[0]}:{address[1]}")
            self._links[link.fileno()] = link, connection
            self._poll.register(link, select.EPOLLIN)
            link.sendall(connection.greet())

    def _measure(self) -> LoadReport:
        server = cores.process_tree(self._settings.server_pid) if self._settings.server_pid else []
        first = len(self._latencies)
        server_before = cores.cpu_seconds(server)
        load_before, start = time.process_time(), time.perf_counter()
        self._drive(self._settings.seconds)
        seconds, load = time.perf_counter() - start, time.process_time() - load_before
        server_cpu = cores.cpu_seconds(server) - server_before
        measured = np.array(self._latencies[first:], np.float64) * _MS_PER_NS
        if not measured.size:
            raise LoadError(f"no step was answered in {seconds:.3g} s")
        p50, p99 = np.percentile(measured, (50, 99))
        return LoadReport(measured.size, seconds, load, server_cpu, float(p50), float(p99))

    def _drive(self, seconds: float) -> None:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            self._exchange()

    def _finish(self) -> None:
        for conversation in self.conversations:
            conversation.stopping = True
        while any(connection.open_streams for _, connection in self._links.values()):
            self._exchange()

    def _exchange(self) -> None:
        """Answers everything that has arrived, with one send a connection."""
        events = self._poll.poll(_SILENCE_SECONDS)
        if not events:
            raise LoadError(f"the server said nothing for {_SILENCE_SECONDS:g} s")
        for number, _ in events:
            link, connection = self._links[number]
            data = link.recv(_READ_BYTES)
            if not data:
                raise LoadError("the server cut the connection")
            out = connection.receive(data, time.perf_counter_ns())
            if out:
                now = time.perf_counter_ns()
                for conversation in connection.sent:
                    conversation.sent_at = now
                link.sendall(out)
