"""The command `statewise health`, against the health service that gRPC's own package gives."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from statewise_client.__main__ import main

Status = health_pb2.HealthCheckResponse


@pytest.fixture
def checked():
    server, servicer = grpc.server(ThreadPoolExecutor(2)), health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield target, servicer
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "code"),
    [("SERVING", 0), ("NOT_SERVING", 1), ("SERVICE_UNKNOWN", 1), ("UNKNOWN", 1)],
)
def test_the_exit_code_is_the_health(checked, capsys, status, code):
    target, servicer = checked
    servicer.set("", Status.ServingStatus.Value(status))

    assert main(["health", "--target", target]) == code
    assert capsys.readouterr().out == f"{status}\n"


def test_a_server_that_does_not_answer_is_not_healthy(serve, capsys):
    assert main(["health", "--target", "127.0.0.1:1"]) == 1
    assert "127.0.0.1:1 does not tell its health: UNAVAILABLE" in capsys.readouterr().err
    assert main(["health", "--target", serve().target]) == 1
    assert "does not tell its health: UNIMPLEMENTED" in capsys.readouterr().err
