"""Asks a running server for its health, as a container's health check does.

Owns one call of grpc.health.v1. Knows nothing of what is served.
"""

import contextlib

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def probe(target: str, timeout: float, tls: tuple[bytes, ...] | None = None, name: str = "") -> str:
    """The health of the server at `target`: "SERVING", "NOT_SERVING", or why it can't be told.

    Args:
        target: host:port.
        timeout: seconds to wait for an answer.
        tls: PEM roots, and where the server asks for a certificate its key and chain; None for
            a port that speaks in the clear.
        name: what the server's certificate is for, where that is not the host.
    """
    with _channel(target, tls, name) as channel:
        try:
            # The stub sets its methods when it is built, where no type can see them.
            reply = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def _channel(
    target: str, tls: tuple[bytes, ...] | None, name: str
) -> contextlib.AbstractContextManager[grpc.Channel]:
    if tls is None:
        return grpc.insecure_channel(target)
    options = [("grpc.ssl_target_name_override", name)] if name else []
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*tls), options)
