"""Traces: when they are made, what they tell, and that nothing of them is loaded otherwise."""

import subprocess
import sys

import grpc
import numpy as np
import pytest
from collector import collecting, plain
from known_callers import status
from processes import serving

from protos.inference import service_pb2 as oip
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub
from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service import tracing
from service.rpc.probe import probe

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
STREAM = "statewise.v1.StreamService/Stream"
INFER = "inference.GRPCInferenceService/ModelInfer"


@pytest.mark.parametrize(
    ("environment", "exporter"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "ward"}, ""),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://there"}, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, ""),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there"}, "otlp"),
    ],
)
def test_the_usual_variables_ask_for_traces(environment, exporter):
    assert tracing.wanted(environment) == exporter


def test_off_it_costs_nothing_and_opentelemetry_is_not_loaded():
    code = (
        "import sys, service.rpc.server, service.tracing as t; t.start({});"
        "assert not t.on(); assert t.span('a') is not None; t.annotate(a=1); t.stop();"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "no traces: OTEL_TRACES_EXPORTER is 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "no traces: OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'",
        ),
    ],
)
def test_what_can_not_be_is_said_in_one_line(environment, told, caplog):
    tracing.start(environment)
    assert not tracing.on()
    (line,) = caplog.messages
    assert line.startswith(told)


def test_a_package_that_is_missing_is_said_in_one_line(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    tracing.start({"OTEL_TRACES_EXPORTER": "otlp"})
    assert not tracing.on()
    (line,) = caplog.messages
    assert line.endswith("is missing: pip install '.[service,otel]'")


def converse(channel):
    chunk = wire.Chunk(
        sequence=1,
        dtype=wire.DATA_TYPE_FLOAT32,
        steps=3,
        features=5,
        data=np.random.default_rng(1).normal(size=(3, 5)).astype("f4").tobytes(),
    )
    opening = wire.Open(model="random", stream_id="pump")
    requests = iter([wire.ClientMessage(open=opening), wire.ClientMessage(chunk=chunk)])
    return list(StreamServiceStub(channel).Stream(requests, metadata=TRACEPARENT, timeout=20))


def test_a_server_tells_of_loads_streams_calls_and_rounds(model_path, monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        with serving(model_path) as server:
            probe(server.target, 10)
            with grpc.insecure_channel(server.target) as channel:
                assert len(converse(channel)) == 3
                infer = GRPCInferenceServiceStub(channel).ModelInfer
                asked = oip.ModelInferRequest(model_name="absent")
                assert status(infer, asked, timeout=20) == "NOT_FOUND"
            assert server.stop() == 0

    assert {one["service.name"] for one in collector.resources} == {"statewise"}
    (stream,) = collector.named(STREAM)
    assert (stream.trace_id.hex(), stream.parent_span_id.hex()) == (TRACE, PARENT)
    assert plain(stream.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "statewise.v1.StreamService",
        "rpc.method": "Stream",
        "rpc.grpc.status_code": 0,
        "statewise.stream_id": "pump",
        "statewise.model": "random",
        "statewise.version": "1",
        "statewise.resumed": False,
        "statewise.steps": 3,
    }
    (call,) = collector.named(INFER)
    assert plain(call.attributes)["rpc.grpc.status_code"] == 5
    assert plain(call.attributes)["statewise.model"] == "absent"
    (load,) = collector.named("load model")
    assert plain(load.attributes) == {"statewise.model": "random", "statewise.version": "1"}
    assert load.end_time_unix_nano > load.start_time_unix_nano
    rounds = collector.named("checkpoint round")
    assert plain(rounds[0].attributes) == {"statewise.waiting": 1}
    names = {STREAM, INFER, "load model", "checkpoint round"}
    assert {span.name for span in collector.spans} == names


def test_a_collector_that_is_away_holds_up_neither_streams_nor_the_end(model_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(model_path) as server:
        with grpc.insecure_channel(server.target) as channel:
            assert len(converse(channel)) == 3
        assert server.stop() == 0
