"""Ends of calls, with the details that a Statewise server gives."""

import grpc

from protos.statewise.v1 import status_pb2


def abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, retry_seconds: int = 0
) -> None:
    """Ends the call with the details that a Statewise server gives."""
    info = status_pb2.ErrorInfo(reason=reason, domain="statewise.v1", metadata={"model": "sum"})
    status = status_pb2.Status(code=code.value[0], message="not today; try the other server")
    prefix = "type.googleapis.com/google.rpc."
    status.details.add(type_url=f"{prefix}ErrorInfo", value=info.SerializeToString())
    if retry_seconds:
        retry = status_pb2.RetryInfo(retry_delay={"seconds": retry_seconds, "nanos": 500_000_000})
        status.details.add(type_url=f"{prefix}RetryInfo", value=retry.SerializeToString())
    trailer = ("grpc-status-details-bin", status.SerializeToString())
    context.set_trailing_metadata((trailer,))
    context.abort(code, status.message)
