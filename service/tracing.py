"""Traces for OpenTelemetry, where its usual environment variables ask for them.

Owns whether there are any, and the one place that imports OpenTelemetry. Off, which is the default,
nothing of it is loaded, and a span costs one look at a variable; on, it is still a span a call, a
load or a round, never one a message. Knows nothing of gRPC or streams.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

_log = logging.getLogger(__name__)
Attribute: TypeAlias = str | bool | int | float
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_FLUSH_SECONDS = 2.0


class _Running:
    """The tracer of this process, once there is one: OpenTelemetry's own is one a process too."""

    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


def wanted(environment: Mapping[str, str]) -> str:
    """The exporter that the environment asks for; "" for none."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    endpoint = any(environment.get(name) for name in _ENDPOINTS)
    exporter = environment.get("OTEL_TRACES_EXPORTER") or ("otlp" if endpoint else "")
    return "" if exporter == "none" else exporter


def start(environment: Mapping[str, str] = os.environ) -> None:
    """Begins to trace if it is asked for; where it can't, one line says why and none are made."""
    name = wanted(environment)
    if not name:
        return
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(name, environment)
    except ImportError as error:
        _log.warning("no traces, since %s is missing: pip install '.[service,otel]'", error.name)
    except ValueError as error:
        _log.warning("no traces: %s", error)
    else:
        begin(BatchSpanProcessor(exporter), environment)
        _log.info("traces go out by %s", name)


def begin(processor: "SpanProcessor", environment: Mapping[str, str] = os.environ) -> None:
    """Hands spans to a processor from now on."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    given = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in given
    resource = Resource.create({} if named else {"service.name": "statewise"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _Running.provider, _Running.tracer = provider, provider.get_tracer("statewise")


def stop() -> None:
    """Sends what waits, for a moment, and ends."""
    if _Running.provider is not None:
        # Where nobody takes them it tries for long, and knows no limit itself.
        ending = Thread(target=_Running.provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)
    _Running.provider = _Running.tracer = None


def on() -> bool:
    """Whether spans are made."""
    return _Running.tracer is not None


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A span around what is done within; nothing where traces are off."""
    if _Running.tracer is None:
        return nullcontext()
    return _within(name, attributes)


@contextmanager
def _within(name: str, attributes: Mapping[str, Attribute]) -> Iterator[None]:
    assert _Running.tracer is not None
    with _Running.tracer.start_as_current_span(name, attributes=_named(attributes)):
        yield


@contextmanager
def served(
    name: str, headers: Mapping[str, str], attributes: Mapping[str, Attribute]
) -> Iterator["Span"]:
    """A span of somebody's call, within the trace that its headers name (`traceparent`)."""
    from opentelemetry import trace
    from opentelemetry.propagate import extract

    assert _Running.tracer is not None
    call = _Running.tracer.start_span(
        name, extract(headers), trace.SpanKind.SERVER, attributes=dict(attributes)
    )
    try:
        with trace.use_span(call, record_exception=False, set_status_on_exception=False):
            yield call
    finally:
        call.end()


def annotate(**attributes: Attribute) -> None:
    """Adds to the span that this code runs in, if there is one."""
    if _Running.tracer is not None:
        from opentelemetry import trace

        trace.get_current_span().set_attributes(_named(attributes))


def failed(call: "Span", why: str) -> None:
    """Marks a call that came to a bad end through no fault of the caller."""
    from opentelemetry import trace

    call.set_status(trace.Status(trace.StatusCode.ERROR, why))


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    return {f"statewise.{name}": value for name, value in attributes.items()}


def _exporter(name: str, environment: Mapping[str, str]) -> "SpanExporter":
    """Made by its name; it reads the rest of the variables itself."""
    if name == "console":
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    if name != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER is {name!r}; take otlp, console or none")
    protocol = next(filter(None, map(environment.get, _PROTOCOLS)), "grpc")
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

        return http.OTLPSpanExporter()
    if protocol != "grpc":
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; take grpc or http/protobuf")
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as by_grpc

    return by_grpc.OTLPSpanExporter()
