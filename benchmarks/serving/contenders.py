"""The servers that are measured side by side, and how each is started.

Owns their command lines, which wire each speaks, how exact an answer each owes. To add a peer, add
it here: a program that takes a free port and prints `ready: grpc HOST:PORT`.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environments, model
from benchmarks.load.settings import WireName
from benchmarks.model import Sizes


@dataclass(frozen=True)
class Deployment:
    """What a server is to serve, and with how many processes.

    Attributes:
        repository: folder of the model.
        sizes: the model's.
        workers: processes; only those that `scales` take more than 1.
    """

    repository: Path
    sizes: Sizes = model.USUAL
    workers: int = 1


@dataclass(frozen=True)
class Contender:
    """A server of a model.

    Attributes:
        key: what the command line calls it.
        name: what the results call it.
        command: how it is started; makes its environment where it has one of its own and raises
            PeerMissingError where that can't be had.
        tolerance: largest absolute error of an answer; 0 demands the model's own bits.
        wire: what it speaks.
        ours: whether it is Statewise, so that its failure is one of the run.
        scales: whether it takes more than one process.
    """

    key: str
    name: str
    command: Callable[[Deployment], list[str]]
    tolerance: float
    wire: WireName = "native"
    ours: bool = False
    scales: bool = False


def _statewise(one: Deployment) -> list[str]:
    options = ["--model-repository", str(one.repository), "--port", "0", "--metrics-port", "0"]
    return [sys.executable, "-m", "service", "serve", *options, "--workers", str(one.workers)]


def _plain(kind: str) -> Callable[[Deployment], list[str]]:
    def command(one: Deployment) -> list[str]:
        options = ["--model", str(model.path(one.repository)), "--port", "0"]
        return [sys.executable, "-m", f"benchmarks.peers.{kind}", *options]

    return command


def _triton(one: Deployment) -> list[str]:
    # Its Python backend's stub is built against NumPy 1.
    packages = ("nvidia-pytriton==0.7.0", "onnxruntime==1.32.0", "numpy==1.26.4")
    python = environments.python_of("triton", packages)
    shape = ["--features", str(one.sizes.features), "--outputs", str(one.sizes.outputs)]
    return [python, "-m", "benchmarks.peers.triton", *_named(one), *shape]


def _seldon(one: Deployment) -> list[str]:
    python = environments.python_of("mlserver", ("mlserver==1.7.1", "onnxruntime==1.32.0"))
    return [python, "-m", "benchmarks.peers.seldon", *_named(one)]


def _named(one: Deployment) -> list[str]:
    return ["--model", str(model.path(one.repository)), "--name", model.NAME]


# What others compute may differ by the batches that they make.
_CLOSE = 1e-5

STATEWISE = Contender("statewise", "Statewise", _statewise, tolerance=0.0, ours=True, scales=True)
SEQUENCES = Contender(
    "statewise-triton",
    "Statewise, Triton's protocol",
    _statewise,
    tolerance=0.0,
    wire="triton",
    ours=True,
    scales=True,
)
PLAIN_AIO = Contender("plain-aio", "plain grpc.aio", _plain("plain_aio"), _CLOSE)
PLAIN_SYNC = Contender("plain-sync", "plain grpcio", _plain("plain_sync"), _CLOSE)
TRITON = Contender("triton", "Triton, Python backend", _triton, _CLOSE, wire="triton")
MLSERVER = Contender("mlserver", "MLServer", _seldon, _CLOSE, wire="mlserver")

OURS = (STATEWISE, SEQUENCES)
PEERS = (PLAIN_AIO, PLAIN_SYNC, TRITON, MLSERVER)
CONTENDERS = OURS + PEERS
# Names for several peers at once.
GROUPS = {"none": (), "plain": (PLAIN_AIO, PLAIN_SYNC), "all": PEERS}


def choose(names: Sequence[str]) -> list[Contender]:
    """Our servers and the peers of these keys or groups, in the order of the results."""
    wanted = {peer.key for name in names for peer in GROUPS.get(name, ())} | set(names)
    return [one for one in CONTENDERS if one.ours or one.key in wanted]
