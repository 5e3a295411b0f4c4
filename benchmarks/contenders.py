"""The servers that are measured side by side, and how each is started.

Owns their command lines, and how exact an answer each owes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import model


@dataclass(frozen=True)
class Contender:
    """A server of the native wire.

    Attributes:
        name: what the results call it.
        command: how it is started, given the model repository; it takes a free port and prints
            `ready: grpc HOST:PORT`.
        tolerance: largest absolute error of an answer; 0 demands the model's own bits.
    """

    name: str
    command: Callable[[Path], list[str]]
    tolerance: float


def _statewise(repository: Path) -> list[str]:
    options = ["--model-repository", str(repository), "--port", "0", "--metrics-port", "0"]
    return [sys.executable, "-m", "service", "serve", *options]


def _plain_aio(repository: Path) -> list[str]:
    options = ["--model", str(model.path(repository)), "--port", "0"]
    return [sys.executable, "-m", "benchmarks.peers.plain_aio", *options]


STATEWISE = Contender("statewise", _statewise, tolerance=0.0)
PLAIN_AIO = Contender("plain grpc.aio", _plain_aio, tolerance=1e-5)
CONTENDERS = (STATEWISE, PLAIN_AIO)
