"""`statewise health`: whether a server serves.

Owns one call of grpc.health.v1, in bytes: an empty request asks for the whole server, and its four
possible answers are not worth a dependency.
"""

import argparse
import math

import grpc

from statewise_client.channel import OPTIONS, check_target
from statewise_client.command import connection
from statewise_client.errors import ConnectionFailed, InputError
from statewise_client.handshake import refused_connection

_METHOD = "/grpc.health.v1.Health/Check"
# HealthCheckResponse: field 1, the status, as a varint; 0 is not written.
_ANSWERS = {
    b"": "UNKNOWN",
    b"\x08\x01": "SERVING",
    b"\x08\x02": "NOT_SERVING",
    b"\x08\x03": "SERVICE_UNKNOWN",
}
_DESCRIPTION = """\
Prints the server's health. Exits with 0 where it serves, with 1 where it does not.

example:
  statewise health --target localhost:8500
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    parser = commands.add_parser(
        "health",
        help="ask a server whether it serves",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    connection.add_to(parser)
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S", help="seconds (3)")


def run(options: argparse.Namespace) -> int:
    """Asks and prints.

    Raises:
        ConnectionFailed: no server answers, or it does not tell its health.
        InputError: the target or the timeout can't be right.
    """
    if not 0 < options.timeout < math.inf:
        raise InputError(f"--timeout is {options.timeout}; give a number of seconds above 0")
    (target,) = connection.targets(options)[:1]
    with _channel(check_target(target), connection.credentials(options)) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        try:
            reply = check(b"", timeout=options.timeout)
        except grpc.RpcError as error:
            raise ConnectionFailed(
                refused_connection(target, error.details() or "")
                or f"{target} does not tell its health: {error.code().name}; start a server "
                "there, or correct --target"
            ) from None
    answer = _ANSWERS.get(reply, "UNKNOWN")
    print(answer)
    return 0 if answer == "SERVING" else 1


def _channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(target, OPTIONS)
    return grpc.secure_channel(target, credentials, OPTIONS)
