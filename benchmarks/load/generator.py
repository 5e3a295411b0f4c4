"""A load on a server: streams that send their next step when the last is answered, or at a rate.

Owns the sockets, the clock and the figures. Knows nothing of frames or messages.
"""

import gc
import math
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import cores
from benchmarks.errors import LoadError
from benchmarks.load.connection import Connection
from benchmarks.load.conversation import Conversation, Wire
from benchmarks.load.crowd import Crowd
from benchmarks.load.figures import of_refusals, percentiles
from benchmarks.load.native import NativeWire
from benchmarks.load.sequence import SequenceWire
from benchmarks.load.settings import LoadReport, LoadSettings

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 20.0
_READ_BYTES = 1 << 18
# For all streams to come in before the warm-up; those without an answer by then count as starved.
_FIRST_ANSWERS_SECONDS = 3.0
# For what the server still has to do once its streams are silent.
_SETTLE_SECONDS = 0.5
# Callers without room who come all at once are told their times to come again within it.
_ONSET_SECONDS = 3.0
_QUIET_SECONDS = 0.2


class Generator:
    """One run of a load.

    Attributes:
        conversations: the streams, with all their outputs once the run is over.
    """

    def __init__(self, settings: LoadSettings) -> None:
        self._settings = settings
        self._latencies: list[int] = []
        self._poll = select.epoll()
        self._links: dict[int, tuple[socket.socket, Connection | Crowd]] = {}
        self._authority = f"{settings.host}:{settings.port}"
        self.conversations = [
            Conversation(
                _wire(settings, index),
                self._latencies,
                paced=settings.idle or settings.rate > 0,
            )
            for index in range(settings.streams)
        ]
        self._owners: dict[int, tuple[socket.socket, Connection]] = {}
        self._late: list[int] = []
        self._crowd: tuple[socket.socket, Crowd] | None = None

    def run(self) -> LoadReport:
        """Opens the streams, drives them, measures, and closes them.

        Raises:
            LoadError: the server can't be reached, refused, broke the wire or fell silent.
        """
        with self._connected():
            if self._settings.idle:
                return self._idle()
            # A rate begins when nobody is missing; a crowd that is answered at once may leave some
            # waiting for ever.
            self._until_answered(math.inf if self._settings.rate else _FIRST_ANSWERS_SECONDS)
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
            self._until_answered()
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
        for index in range(self._settings.connections):
            streams = self.conversations[index :: self._settings.connections]
            connection = Connection(streams, self._authority)
            link = self._link(connection)
            self._owners |= {id(one): (link, connection) for one in streams}

    def _link(self, connection: Connection | Crowd) -> socket.socket:
        """A socket for a connection, which has greeted."""
        address = (self._settings.host, self._settings.port)
        try:
            link = socket.create_connection(address, _CONNECT_SECONDS)
        except OSError as error:
            raise LoadError(f"target {self._authority} can't be reached: {error}") from None
        # With a timeout, each call would ask the kernel twice; the epoll has one instead.
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links[link.fileno()] = link, connection
        self._poll.register(link, select.EPOLLIN)
        link.sendall(connection.greet())
        return link

    def _measure(self) -> LoadReport:
        self._gather_crowd()
        before = self._without_crowd("before")
        server = self._server()
        first, self._late = len(self._latencies), []
        all_before, server_before = cores.machine_cpu_seconds(), cores.cpu_seconds(server)
        load_before, start = time.process_time(), time.perf_counter()
        self._let_crowd_come()
        onset = min(_ONSET_SECONDS, self._settings.seconds) if self._crowd is not None else 0.0
        self._drive(onset)
        settled = len(self._latencies)
        self._drive(self._settings.seconds - onset)
        seconds, load = time.perf_counter() - start, time.process_time() - load_before
        server_cpu = cores.cpu_seconds(server) - server_before
        everything = cores.machine_cpu_seconds() - all_before
        steps = (len(self._latencies) - first) * self._settings.chunk_steps
        p50, p90, p99, p999 = percentiles(self._latencies[first:], (50, 90, 99, 99.9))
        refusals = {} if self._crowd is None else of_refusals(self._crowd[1].refusals)
        self._dismiss_crowd()
        return LoadReport(
            steps=steps,
            seconds=seconds,
            load_cpu_seconds=load,
            server_cpu_seconds=server_cpu,
            other_cpu_seconds=max(everything - server_cpu - load, 0.0),
            latency_p50_ms=p50,
            latency_p90_ms=p90,
            latency_p99_ms=p99,
            latency_p999_ms=p999,
            late_p99_ms=percentiles(self._late, (99,))[0] if self._late else 0.0,
            starved_streams=sum(not one.outputs for one in self.conversations),
            **refusals,
            **before,
            **(_named("onset", self._latencies[first:settled]) if onset else {}),
            **self._without_crowd("after"),
        )

    def _without_crowd(self, when: str) -> dict[str, Any]:
        """What the streams notice as long as nobody else comes, if somebody does."""
        if not self._settings.surplus:
            return {}
        first = len(self._latencies)
        self._drive(self._settings.seconds)
        return _named(when, self._latencies[first:])

    def _gather_crowd(self) -> None:
        """Connects those for whom there will be no room."""
        if self._settings.surplus:
            wire = _wire(self._settings, self._settings.streams)
            crowd = Crowd(self._settings.surplus, wire, self._authority)
            self._crowd = self._link(crowd), crowd

    def _let_crowd_come(self) -> None:
        if self._crowd is not None:
            link, crowd = self._crowd
            link.sendall(crowd.come(time.perf_counter_ns()))

    def _dismiss_crowd(self) -> None:
        """Cuts its connection, and lets the streams go on alone."""
        if self._crowd is not None:
            link, self._crowd = self._crowd[0], None
            self._poll.unregister(link)
            del self._links[link.fileno()]
            link.close()
            self._drive(self._settings.warmup_seconds)

    def _idle(self) -> LoadReport:
        """Opens every stream, takes a step with each, lets all fall silent, looks at the memory."""
        before = cores.memory_bytes(self._server())
        self._until_answered()
        self._settle()
        held = cores.memory_bytes(self._server()) - before
        self._finish()
        return LoadReport(idle_bytes_per_stream=held / self._settings.streams)

    def _server(self) -> list[int]:
        pid = self._settings.server_pid
        return cores.process_tree(pid) if pid else []

    def _until_answered(self, seconds: float = math.inf) -> None:
        """Drives the streams until each has had an answer, for so long at most."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline and not all(one.outputs for one in self.conversations):
            self._exchange()

    def _drive(self, seconds: float) -> None:
        deadline = time.perf_counter() + seconds
        if self._settings.rate:
            self._send_at_rate(seconds)
            return
        while time.perf_counter() < deadline:
            self._exchange()

    def _send_at_rate(self, seconds: float) -> None:
        """Sends each message when it is due, in turn over the streams, whatever comes back."""
        period = 1e9 * self._settings.chunk_steps / self._settings.rate
        start = time.perf_counter_ns()
        end, count = start + seconds * 1e9, 0
        while (now := time.perf_counter_ns()) < end:
            due = start + int(count * period)
            while due <= now and due < end:
                self._post(self.conversations[count % len(self.conversations)], due)
                self._late.append(time.perf_counter_ns() - due)
                count += 1
                due = start + int(count * period)
            if self._crowd is not None and (out := self._crowd[1].due(now)):
                self._crowd[0].sendall(out)
            # Without waiting: the clock of a wait is a millisecond, and steps are due within it.
            self._exchange(wait=0)

    def _post(self, conversation: Conversation, due: int | None) -> None:
        message = conversation.close() if due is None else conversation.post(due)
        link, connection = self._owners[id(conversation)]
        out = connection.post(conversation, message)
        if out:
            link.sendall(out)

    def _settle(self) -> None:
        """Takes what is under way, and waits."""
        deadline = time.perf_counter() + _SETTLE_SECONDS
        while self._exchange(wait=_QUIET_SECONDS) or time.perf_counter() < deadline:
            pass

    def _finish(self) -> None:
        """Ends every stream, once what it has under way is answered."""
        for conversation in self.conversations:
            conversation.stopping = True
            if conversation.resting:
                self._post(conversation, None)
        while any(connection.open_streams for _, connection in self._links.values()):
            self._exchange()

    def _exchange(self, wait: float | None = None) -> bool:
        """Answers everything that has arrived, with one send a connection.

        Args:
            wait: seconds to wait for something; None where silence is an error.

        Returns:
            Whether something had arrived.
        """
        events = self._poll.poll(_SILENCE_SECONDS if wait is None else wait)
        if not events and wait is None:
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
        return bool(events)


def _named(when: str, latencies: Sequence[int]) -> dict[str, Any]:
    """Percentiles as a report names them."""
    p50, p90, p99 = percentiles(latencies, (50, 90, 99))
    return {f"{when}_p50_ms": p50, f"{when}_p90_ms": p90, f"{when}_p99_ms": p99}


def _wire(settings: LoadSettings, index: int) -> Wire:
    if settings.wire == "native":
        return NativeWire(settings.model, index, settings.chunk_steps)
    wrapped = settings.wire == "triton"
    return SequenceWire(settings.model, index, settings.features, wrapped=wrapped)
