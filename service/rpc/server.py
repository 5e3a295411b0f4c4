"""The server: its services, its limits, its start and its graceful end.

Owns the assembly. After SIGTERM or SIGINT: health turns NOT_SERVING, new streams are refused, open
ones go on until they close or the drain time is over, then what is left is settled and cut.
"""

import asyncio
import gc
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import prometheus_client
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from protos.inference import service_pb2
from protos.inference.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from protos.statewise.v1 import state_pb2, stream_pb2
from protos.statewise.v1.state_pb2_grpc import add_StateServiceServicer_to_server
from protos.statewise.v1.stream_pb2_grpc import add_StreamServiceServicer_to_server
from service import tracing
from service.artifacts import repository, versions
from service.callers.access import Access
from service.callers.quotas import Limits, Quotas
from service.catalogue import Catalogue
from service.durability.keeping import Keeper
from service.durability.kept import KeptStreams
from service.durability.keys import load_state_keys
from service.durability.operations import Operations
from service.durability.silence import Silence
from service.errors import SettingsError
from service.inference.handover import Handover
from service.inference.sequences import Sequences
from service.metrics import Metrics
from service.models.loader import load_model
from service.models.served import Models
from service.rpc.access import Guard
from service.rpc.doorway import Doorway
from service.rpc.ending import Ending
from service.rpc.inference import InferenceServicer
from service.rpc.state import StateServicer
from service.rpc.stream import StreamServicer
from service.rpc.tls import server_credentials
from service.rpc.tracing import Tracer
from service.rpc.unreadable import Forgiving, transport_bytes
from service.rpc.wakeups import wake_in_batches
from service.settings import Settings, address
from service.stores.opening import open_store
from service.streams.seam import Streams

_log = logging.getLogger(__name__)
_STREAM_SERVICE = stream_pb2.DESCRIPTOR.services_by_name["StreamService"].full_name
_STATE_SERVICE = state_pb2.DESCRIPTOR.services_by_name["StateService"].full_name
_INFERENCE_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_SERVICES = (_STREAM_SERVICE, _STATE_SERVICE, _INFERENCE_SERVICE)
_PENDING_REQUESTS = 100_000
# Allocations between two collections. gRPC makes dozens a message: Python's own 700 is a collection
# every few messages, a seventh of the server's time.
_YOUNG_OBJECTS = 100_000
# Time for the last statuses to leave.
_CUT_SECONDS = 1.0


async def serve(settings: Settings) -> None:
    """Loads the models, serves them, and returns once a signal has ended it.

    Raises:
        ArtifactError, ProviderError: a model can't be served.
        SettingsError: a port is taken.
    """
    wake_in_batches()
    parts = _assemble(settings)
    # Not before: until here a signal ends the process as it ends any other.
    ending = Ending(parts.streams, parts.sequences)
    ending.on_signals()
    if settings.worker:
        ending.with_supervisor()
    port = _listen(parts.server, settings)
    _collect_rarely()
    with _metrics_endpoint(parts.metrics, settings) as metrics_address:
        await parts.server.start()
        for name in _SERVICES:
            await parts.status.set(name, health_pb2.HealthCheckResponse.SERVING)
        background = [
            asyncio.create_task(parts.sequences.sweep()),
            asyncio.create_task(parts.kept.keeper.run()),
        ]
        if settings.stream_idle_seconds:
            silence = Silence(parts.streams, parts.kept, settings.stream_idle_seconds)
            background.append(asyncio.create_task(silence.watch()))
        if settings.watch_seconds:
            background.append(asyncio.create_task(parts.catalogue.watch()))
        # For people, and for programs that asked for a free port.
        grpc_address = address(settings.host, port)
        print(f"ready: grpc {grpc_address} metrics {metrics_address}", flush=True)
        await ending.asked()
        _log.info("stopping: %d open streams, %g s", parts.streams.live, settings.drain_seconds)
        await parts.status.enter_graceful_shutdown()
        parts.kept.leave_all()
        await ending.part(settings.drain_seconds)
        await parts.stream_servicer.cut(_CUT_SECONDS)
        await parts.server.stop(grace=_CUT_SECONDS)
        for task in background:
            task.cancel()
        await parts.kept.keeper.flush()
        await parts.kept.keeper.close()


@dataclass(frozen=True)
class _Parts:
    """Everything that a running server consists of."""

    server: grpc.aio.Server
    status: health.aio.HealthServicer
    stream_servicer: StreamServicer
    streams: Streams
    kept: KeptStreams
    sequences: Sequences
    catalogue: Catalogue
    metrics: Metrics


def _assemble(settings: Settings) -> _Parts:
    """Loads the models and puts the services before them."""
    metrics = Metrics()
    load = partial(load_model, settings=settings, metrics=metrics)
    models = Models(map(load, versions.wanted(repository.scan(settings.model_repository))))
    quotas = Quotas(Limits(settings.max_caller_streams))
    streams = Streams(models, settings, metrics)
    store = open_store(settings.state_store, settings.state_bytes)
    keeper = Keeper(store, settings, metrics, load_state_keys(settings.state_key_file))
    kept = KeptStreams(models, streams, keeper, metrics)
    sequences = Sequences(models, streams, settings, metrics, Handover(kept))
    catalogue = Catalogue(models, streams, settings, load)
    doorway = Doorway(asyncio.get_running_loop())
    stream_servicer = StreamServicer(streams, kept, doorway)
    server = grpc.aio.server(
        interceptors=[*_tracers(), *_guards(settings, quotas, metrics)], options=_options(settings)
    )
    # To generated code, which adds methods and does nothing else, it is a server.
    forgiving: Any = Forgiving(server, settings.max_message_bytes, metrics.refused_call)
    add_StreamServiceServicer_to_server(stream_servicer, forgiving)
    add_GRPCInferenceServiceServicer_to_server(
        InferenceServicer(models, sequences, catalogue, doorway, metrics.refused_request), forgiving
    )
    operations = Operations(models, streams, kept)
    add_StateServiceServicer_to_server(StateServicer(operations), forgiving)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    reflection.enable_server_reflection(
        (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return _Parts(server, status, stream_servicer, streams, kept, sequences, catalogue, metrics)


def _tracers() -> list[Tracer]:
    return [Tracer()] if tracing.on() else []


def _guards(settings: Settings, quotas: Quotas, metrics: Metrics) -> list[Guard]:
    """What stands before every call; nothing where nobody is asked who he is."""
    return [] if settings.anonymous else [Guard(Access(settings, quotas), metrics)]


def _collect_rarely() -> None:
    """Spares the messages the search for garbage in cycles, of which they make none."""
    gc.collect()
    # What is loaded by now stays; no collection has to look at it again.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        # Without a supervisor, a second server on the same port is a mistake.
        ("grpc.so_reuseport", settings.worker),
        ("grpc.max_receive_message_length", transport_bytes(settings.max_message_bytes)),
        # With probes, gRPC makes windows larger for as long as more arrives, read or not.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", settings.stream_window_bytes),
        # On the defaults a third of 4,000 streams opened at once are refused.
        ("grpc.server.max_pending_requests", _PENDING_REQUESTS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING_REQUESTS),
        # Long-lived streams ping to keep their way through proxies; the default is one in 300 s.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        # A caller that vanished without a word gives its slot back within 40 s.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    credentials = server_credentials(settings)
    place = address(settings.host, settings.port)
    try:
        if credentials is not None:
            return server.add_secure_port(place, credentials)
        return server.add_insecure_port(place)
    except RuntimeError:
        raise SettingsError(
            f"port is {settings.port}, which can't be had on {settings.host}: "
            f"{_why_not(settings.host, settings.port)}; choose another --port or --host"
        ) from None


def _why_not(host: str, port: int) -> str:
    """What the system says to a listener on an address, of which gRPC tells nothing."""
    try:
        for family, kind, number, _, place in socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, number) as listener:
                listener.bind(place)
                listener.listen()
    except OSError as error:
        return error.strerror or str(error)
    return "it was taken a moment ago"


@contextmanager
def _metrics_endpoint(metrics: Metrics, settings: Settings) -> Iterator[str]:
    """Serves the metrics over HTTP; gives the address."""
    if settings.metrics_port < 0:
        yield "off"
        return
    try:
        http, thread = prometheus_client.start_http_server(
            settings.metrics_port, settings.metrics_host.strip("[]"), metrics.registry
        )
    except OSError as error:
        raise SettingsError(
            f"metrics_port is {settings.metrics_port}, which can't be had on "
            f"{settings.metrics_host}: {error.strerror}; choose another --metrics-port, or -1 for "
            "none"
        ) from None
    try:
        yield address(settings.metrics_host, http.server_port)
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
