"""Generates the Python stubs of the contracts, for the server and for the client.

Owns which contract goes into which copy. Both copies register the same file and message names, so
that a process can load both; each imports its stubs by its own package path. The client's copy
leaves out what is the server's alone: the manifest, which never crosses the wire, and the Open
Inference Protocol, for which callers have clients of their own.

Run `make proto` to write them, `python -m protos.generate --check` to fail where they are stale.
"""

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
# Beside the interpreter, so that the environment need not be activated.
PLUGINS = Path(sys.executable).parent
# How stubs name each other: `from statewise.v1 import stream_pb2` and `statewise.v1.stream_pb2`.
_FROM_IMPORT = re.compile(r"^from (statewise\.v1|inference) import", re.MULTILINE)
_MODULE = re.compile(r"(?<![\w.])(statewise\.v1|inference)\.(?=\w+_pb2)")


@dataclass(frozen=True)
class Copy:
    """One copy of the stubs: where it stands, under which package, and of which contracts."""

    folder: Path
    package: str
    contracts: tuple[str, ...]


COPIES = (
    Copy(
        ROOT / "protos",
        "protos",
        (
            "inference/model_config",
            "inference/service",
            "statewise/v1/graph",
            "statewise/v1/manifest",
            "statewise/v1/state",
            "statewise/v1/status",
            "statewise/v1/stream",
        ),
    ),
    Copy(
        ROOT / "client/statewise_client/_generated",
        "statewise_client._generated",
        ("statewise/v1/state", "statewise/v1/status", "statewise/v1/stream"),
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Writes the stubs, or with --check compares them with the files that are there."""
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where stale")
    options = parser.parse_args(arguments)
    stale = [path for copy in COPIES for path in _emit(copy, write=not options.check)]
    if options.check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"stale stubs: {names}; run `make proto`", file=sys.stderr)
        return 1
    return 0


def _emit(copy: Copy, *, write: bool) -> list[Path]:
    """Generates one copy and returns the files that differ from what is there."""
    changed = []
    for name, text in _generate(copy).items():
        path = copy.folder / name
        if path.exists() and path.read_text() == text:
            continue
        changed.append(path)
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return changed


def _generate(copy: Copy) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "protoc",
            f"--proto_path={SOURCES}",
            f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
            f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
            f"--python_out={folder}",
            f"--mypy_out=quiet:{folder}",
            f"--grpc_python_out={folder}",
            f"--mypy_grpc_out=quiet:{folder}",
            *(f"{contract}.proto" for contract in copy.contracts),
        ]
        if protoc.main(command) != 0:
            raise SystemExit("protoc failed")
        files = sorted(Path(folder).rglob("*.py*"))
        return {
            str(path.relative_to(folder)): _repackage(path.read_text(), copy.package)
            for path in files
            if not _is_empty_service(path)
        }


def _is_empty_service(path: Path) -> bool:
    """A grpc stub of a file that declares no service holds nothing of use."""
    if "_pb2_grpc" not in path.name:
        return False
    source = path.parent / path.name.replace(".pyi", ".py")
    return "Servicer" not in source.read_text()


def _repackage(text: str, package: str) -> str:
    text = _FROM_IMPORT.sub(rf"from {package}.\1 import", text)
    return _MODULE.sub(rf"{package}.\1.", text)


if __name__ == "__main__":
    sys.exit(main())
