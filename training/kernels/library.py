"""The compiled loops: their build, once for a machine, and their call.

Owns the compiler's command, the cache of what it made, and the layout of the C structure. Knows
nothing of automatic differentiation. There is no compiler where an image serves or a laptop has
none: `find_library` gives None then, and the caller has another way.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

_SOURCES = ("gru.cpp", "product.h", "vectors.h")
# The machine's own instructions, since the library never leaves it.
_COMMAND = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-fopenmp")
_LONGEST_BUILD_SECONDS = 120.0

_log = logging.getLogger(__name__)


def _members(kind: Any, names: str) -> Iterable[tuple[str, Any]]:
    return ((name, kind) for name in names.split())


class Sequences(ctypes.Structure):
    """The C structure of the same name in gru.cpp, which says what each array is."""

    _fields_ = (
        *_members(ctypes.c_int, "steps rows inputs hidden reset_after threads"),
        *_members(
            ctypes.c_void_p,
            "modes values input_weight bias gate_weight candidate_weight candidate_bias",
        ),
        *_members(ctypes.c_void_p, "gates states products states_gradient carried"),
    )


class OuterProducts(ctypes.Structure):
    """The C structure of the same name in gru.cpp."""

    _fields_ = (
        *_members(ctypes.c_int, "rows left right left_stride right_stride threads"),
        *_members(ctypes.c_void_p, "a b sum"),
    )


class Library:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        self._forward = _declare(loaded.gru_forward, Sequences)
        self._backward = _declare(loaded.gru_backward, Sequences)
        self._outer_products = _declare(loaded.gru_outer_products, OuterProducts)

    def forward(self, sequences: Sequences) -> None:
        """Fills gates, states and products."""
        self._forward(ctypes.byref(sequences))

    def backward(self, sequences: Sequences) -> None:
        """Turns gates and products into what flows back to them, and `carried` with them."""
        self._backward(ctypes.byref(sequences))

    def sum_outer_products(self, products: OuterProducts) -> None:
        """Fills `sum` with a^T b."""
        self._outer_products(ctypes.byref(products))


def _declare(function: Any, argument: type[ctypes.Structure]) -> Any:
    function.argtypes = (ctypes.POINTER(argument),)
    function.restype = None
    return function


@cache
def find_library() -> Library | None:
    """The library, built where this machine has none yet; None where it can't be built."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        _log.info("no C++ compiler: the recurrent loops run as torch operations, more slowly")
        return None
    try:
        return Library(_build(compiler))
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("the recurrent loops run as torch operations, more slowly: %s", error)
        return None


def _build(compiler: str) -> Path:
    """The library's path; compiled beside it and moved there whole, for other processes' sake."""
    folder = _cache_folder()
    path = folder / f"gru-{_digest(compiler)}.so"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        target = Path(made) / path.name
        with resources.as_file(resources.files(__package__)) as sources:
            command = [compiler, *_COMMAND, str(sources / _SOURCES[0]), "-o", str(target)]
            _run(command)
        target.replace(path)
    return path


def _run(command: list[str]) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=_LONGEST_BUILD_SECONDS, check=False
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise OSError(f"{command[0]} could not build them: {lines[0]}")
    return result.stdout


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "statewise"


def _digest(compiler: str) -> str:
    """Of all that decides what is built: sources, command, compiler and processor."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(resources.files(__package__).joinpath(name).read_bytes())
    # What -march=native stands for here.
    target = _run([compiler, "-march=native", "-Q", "--help=target"])
    for part in (*_COMMAND, platform.machine(), _run([compiler, "--version"]), target):
        digest.update(part.encode())
    return digest.hexdigest()[:16]
