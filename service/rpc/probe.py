"""Asks a running server for its health, as a container's health check does.

Owns one call of grpc.health.v1. Knows nothing of what is served.
"""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def probe(target: str, timeout: float) -> str:
    """The health of the server at `target`: "SERVING", "NOT_SERVING", or why it can't be told.

    Args:
        target: host:port.
        timeout: seconds to wait for an answer.
    """
    with grpc.insecure_channel(target) as channel:
        try:
            # The stub sets its methods when it is built, where no type can see them.
            reply = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
