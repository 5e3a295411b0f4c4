"""The command `python -m service serve`, as a process of its own."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from fakes import distinct
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from protos.statewise.v1 import stream_pb2 as wire
from protos.statewise.v1.stream_pb2_grpc import StreamServiceStub
from service import artifact
from service.engine import Engine
from service.rpc.probe import probe

FEATURES = 5


class Server:
    """A running server and where it listens."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        line = process.stdout.readline()
        ready = re.fullmatch(r"ready: grpc (\S+) metrics (\S+)\n", line)
        assert ready, line
        self.target, self.metrics = ready.groups()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "service", "serve", *map(str, arguments)]


@contextlib.contextmanager
def serving(model_path: Path, *arguments: object) -> Iterator[Server]:
    repository = model_path.parent.parent.parent
    ports = ("--port", 0, "--metrics-port", 0)
    process = subprocess.Popen(
        command("--model-repository", repository, *ports, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


def failed(*arguments: object) -> str:
    """The one line that a refused start prints."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    return errors[0]


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


def test_a_taken_port_is_named(model_path):
    repository = model_path.parent.parent.parent
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = failed("--model-repository", repository, "--port", port, "--metrics-port", -1)
        assert f"port is {port}, which can't be had" in line
        line = failed("--model-repository", repository, "--port", 0, "--metrics-port", port)
        assert f"metrics_port is {port}, which can't be had" in line


def test_a_mistake_is_one_line_and_exit_code_2(model_path, tmp_path):
    repository = model_path.parent.parent.parent
    assert "give --model-repository DIR" in failed()
    assert "no model in it" in failed("--model-repository", tmp_path)
    assert "max_batch is 0" in failed("--model-repository", repository, "--max-batch", 0)
    broken = tmp_path / "random" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    shutil.copyfile(model_path, broken)
    with broken.open("r+b") as file:
        file.truncate(1000)
    assert "not a whole ONNX file" in failed("--model-repository", tmp_path)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_fails_to_start(model_path):
    repository = model_path.parent.parent.parent
    line = failed("--model-repository", repository, "--provider", "cuda")
    assert "provider cuda: " in line
    assert "--provider cpu" in line


def test_health_of_nobody_is_exit_code_1():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-m", "service", "health", "--port", port, "--timeout", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "UNAVAILABLE\n")
