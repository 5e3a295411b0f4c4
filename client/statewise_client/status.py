"""From the status that ends a gRPC call to an error of ours.

Owns the reading of the rich details (google.rpc.ErrorInfo and RetryInfo) in the call's trailer.
Both clients' calls end in the same way, and so they share it.
"""

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from statewise_client._generated.statewise.v1.status_pb2 import ErrorInfo, RetryInfo, Status
from statewise_client.errors import (
    ConnectionBroken,
    ConnectionFailed,
    StatewiseError,
    StreamFailed,
    StreamRefused,
)
from statewise_client.handshake import refused_connection

# What gRPC says where it has sent nothing, since there was no connection.
_NOT_CONNECTED = ("failed to connect", "DNS resolution failed")
_DETAILS_TRAILER = "grpc-status-details-bin"


def refusal(target: str, error: grpc.RpcError) -> StatewiseError:
    """What a call that ended before its stream was open means.

    Args:
        target: where the server should be.
        error: how the call ended.
    """
    code, message, rich = error.code(), _message(error), _Rich.read(error)
    if code is grpc.StatusCode.UNAVAILABLE and not rich.reason:
        cause = message.rpartition("last error: ")[2]
        if not message.startswith(_NOT_CONNECTED):
            return ConnectionBroken(
                f"the call to {target} broke off: {cause}; it may be done: look, and ask again"
            )
        return ConnectionFailed(
            refused_connection(target, cause)
            or f"no server answers at {target}: {cause}; start one there, or correct the address"
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = f"the server at {target} does not serve statewise.v1; correct the address"
    return StreamRefused(
        code.name,
        message,
        reason=rich.reason,
        metadata=rich.metadata,
        retry_after=rich.retry_after,
    )


def failure(stream_id: str, error: grpc.RpcError) -> StreamFailed:
    """What the end of a call whose stream was open means."""
    rich = _Rich.read(error)
    return StreamFailed(
        error.code().name,
        f"stream {stream_id!r} was ended: {_message(error)}",
        reason=rich.reason,
        metadata=rich.metadata,
        retry_after=rich.retry_after,
    )


def answer(target: str, error: grpc.RpcError, seconds: float) -> StatewiseError:
    """What a question that was not answered means.

    Args:
        target: where the server should be.
        error: how the call ended.
        seconds: within which it had to be answered.
    """
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return unanswered(target, seconds)
    return refusal(target, error)


def unanswered(target: str, seconds: float) -> ConnectionFailed:
    """What a call that was given up after `seconds` means."""
    return ConnectionFailed(
        f"no server answers at {target} within {seconds:g} s; start one there, or correct the "
        "address",
        begun=True,
    )


def _message(error: grpc.RpcError) -> str:
    return " ".join((error.details() or "no reason was given").split())


@dataclass(frozen=True)
class _Rich:
    """The details of a status; empty where there are none."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None

    @classmethod
    def read(cls, error: grpc.RpcError) -> "_Rich":
        """The details in a call's trailer; those that can't be read count as absent."""
        # The two kinds of calls have two kinds of trailers, both of them pairs.
        trailers: Any = error.trailing_metadata() or ()
        try:
            status = Status.FromString(dict(trailers).get(_DETAILS_TRAILER, b""))
            # By name, since the same message may be sent as google.rpc's or as ours.
            details = {one.type_url.rpartition(".")[2]: one.value for one in status.details}
            info = ErrorInfo.FromString(details.get("ErrorInfo", b""))
            retry = RetryInfo.FromString(details.get("RetryInfo", b""))
        except DecodeError:
            return cls()
        delay = retry.retry_delay
        retry_after = delay.seconds + delay.nanos / 1e9 if "RetryInfo" in details else None
        return cls(info.reason, dict(info.metadata), retry_after)
