"""A receiver of traces, as an OpenTelemetry collector is one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


class Collector(TraceServiceServicer):
    """Keeps what it gets."""

    def __init__(self):
        self.resources = []
        self.spans = []
        self.address = ""

    def Export(self, request, context):  # noqa: N802
        for group in request.resource_spans:
            self.resources.append(plain(group.resource.attributes))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return ExportTraceServiceResponse()

    def named(self, name):
        return [span for span in self.spans if span.name == name]


def plain(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
