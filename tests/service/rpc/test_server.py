"""The command `python -m service serve`, as a process of its own."""

import signal
import threading
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
from fakes import distinct
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from processes import serving

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service.artifacts import artifact
from service.rpc.probe import probe
from service.runtime.engine import Engine

FEATURES = 5


def message(number: int, step: np.ndarray) -> wire.ClientMessage:
    chunk = wire.Chunk(
        sequence=number, dtype=wire.DATA_TYPE_FLOAT32, steps=1, features=FEATURES, data=bytes(step)
    )
    return wire.ClientMessage(chunk=chunk)


def converse(target: str, inputs: np.ndarray) -> bytes:
    """Streams the inputs step by step; the outputs' bytes."""
    messages = [wire.ClientMessage(open=wire.Open(model="random"))]
    messages += [message(number + 1, step) for number, step in enumerate(inputs)]
    with grpc.insecure_channel(target) as channel:
        answers = StreamServiceStub(channel).Stream(iter(messages), timeout=30)
        return b"".join(answer.result.data for answer in answers)


def stepped(model_path: Path, inputs: np.ndarray) -> bytes:
    engine, outputs = Engine(artifact.load(model_path), provider="cpu", max_batch=1), b""
    for step in inputs:
        engine.inputs[:] = step
        engine.step(1)
        engine.states[:] = engine.next_states
        outputs += engine.outputs.tobytes()
    return outputs


def test_serves_health_reflection_metrics_and_the_engine_s_own_bits(model_path):
    inputs = distinct(20, 1, FEATURES)
    with serving(model_path) as server:
        assert probe(server.target, 10) == "SERVING"
        assert converse(server.target, inputs) == stepped(model_path, inputs)
        with grpc.insecure_channel(server.target) as channel:
            services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert {"statewise.v1.StreamService", "grpc.health.v1.Health"} <= set(services)
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
        assert 'statewise_tick_rows_sum{model="random",version="1"} 20.0' in text
        assert 'provider="cpu"' in text
        assert server.stop() == 0


def test_sigterm_lets_open_streams_finish_and_refuses_new_ones(model_path):
    inputs = distinct(2, 2, FEATURES)
    with serving(model_path) as server, grpc.insecure_channel(server.target) as channel:
        stub = StreamServiceStub(channel)
        to_send: list[wire.ClientMessage | None] = []
        sendable = threading.Semaphore(0)

        def requests():
            while True:
                assert sendable.acquire(timeout=30)
                if (item := to_send.pop(0)) is None:
                    return
                yield item

        def send(item):
            to_send.append(item)
            sendable.release()

        answers = stub.Stream(requests(), timeout=30)
        send(wire.ClientMessage(open=wire.Open(model="random")))
        assert next(answers).WhichOneof("message") == "opened"
        server.process.send_signal(signal.SIGTERM)
        # Its health says when the server has taken notice.
        while probe(server.target, 10) == "SERVING":
            pass
        with pytest.raises(grpc.RpcError) as refused:
            converse(server.target, inputs)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        outputs = b""
        for number, step in enumerate(inputs):
            send(message(number + 1, step))
            outputs += next(answers).result.data
        send(None)
        assert next(answers).closed.steps == 2
        assert outputs == stepped(model_path, inputs)
        assert server.process.wait(30) == 0


def test_a_stream_that_outlasts_the_drain_is_told_to_go_elsewhere(model_path):
    with serving(model_path, "--drain-seconds", 0) as server:
        with grpc.insecure_channel(server.target) as channel:
            stop = threading.Event()

            def requests():
                yield wire.ClientMessage(open=wire.Open(model="random"))
                stop.wait(30)

            answers = StreamServiceStub(channel).Stream(requests(), timeout=30)
            next(answers)
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError) as cut:
                next(answers)
            stop.set()
        assert cut.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "this server is stopping" in cut.value.details()
        assert server.process.wait(30) == 0


def test_a_second_signal_ends_the_drain(model_path):
    with serving(model_path, "--drain-seconds", 600) as server:
        with grpc.insecure_channel(server.target) as channel:
            stop = threading.Event()

            def requests():
                yield wire.ClientMessage(open=wire.Open(model="random"))
                stop.wait(30)

            answers = StreamServiceStub(channel).Stream(requests(), timeout=30)
            next(answers)
            server.process.send_signal(signal.SIGTERM)
            while probe(server.target, 10) == "SERVING":
                pass
            server.process.send_signal(signal.SIGINT)
            with pytest.raises(grpc.RpcError) as cut:
                next(answers)
            stop.set()
        assert cut.value.code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(30) == 0


def test_refused_opens_are_counted_by_reason(model_path):
    with serving(model_path) as server:
        with grpc.insecure_channel(server.target) as channel:
            messages = [wire.ClientMessage(open=wire.Open(model="nobody"))]
            with pytest.raises(grpc.RpcError):
                next(StreamServiceStub(channel).Stream(iter(messages), timeout=30))
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
    assert 'statewise_refused_opens_total{reason="MODEL_NOT_FOUND"} 1.0' in text
