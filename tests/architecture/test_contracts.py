"""The import contracts hold, and each of them can be broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
# Package, and where it stands.
PACKAGES = {
    "training": "training",
    "export": "export",
    "protos": "protos",
    "service": "service",
    "statewise_client": "client/statewise_client",
    "benchmarks": "benchmarks",
    "demo": "demo",
}
# Contract, the module that breaks it, and the import that does.
BREACHES = [
    ("training", "training/reference.py", "import protos.content"),
    ("export", "export/errors.py", "import service.errors"),
    ("protos", "protos/content.py", "import training.reference"),
    ("service", "service/errors.py", "import export.errors"),
    ("service", "service/streams/seam.py", "import torch"),
    ("service", "service/tick/arena.py", "import onnx"),
    ("client", "statewise_client/__init__.py", "import protos.content"),
    ("benchmarks", "benchmarks/errors.py", "import demo"),
    ("layers", "service/tick/arena.py", "import service.streams.seam"),
    ("layers", "service/streams/seam.py", "import service.rpc.stream"),
    ("inference", "service/inference/requests.py", "import service.inference.sequence"),
    ("durability", "service/durability/blob.py", "import service.durability.kept"),
    ("streams", "service/streams/live.py", "import service.streams.seam"),
    ("models", "service/models/served.py", "import service.models.loader"),
    ("tick", "service/tick/arena.py", "import service.tick.batcher"),
    ("runtime", "service/runtime/sessions.py", "import service.runtime.engine"),
    ("artifacts", "service/artifacts/config.py", "import service.artifacts.graph"),
    ("callers", "service/callers/quotas.py", "import service.callers.access"),
    ("cycles", "training/reference.py", "import training.reference_backward"),
    ("torch", "export/step_graph.py", "import torch"),
    ("onnx", "training/gru.py", "import onnx"),
    ("onnxruntime", "service/models/selftest.py", "import onnxruntime"),
    ("onnxruntime", "export/step_graph.py", "import onnxruntime"),
    ("pyarrow", "service/streams/seam.py", "import pyarrow"),
    ("ray", "service/offline/workers.py", "import ray"),
    ("duckdb", "service/offline/states.py", "import duckdb"),
    ("grpc", "service/streams/seam.py", "import grpc"),
    ("grpc", "export/errors.py", "import grpc"),
]


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-logo", "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be spoilt."""
    for package, folder in PACKAGES.items():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyi", ".peers")
        shutil.copytree(ROOT / folder, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_all_contracts_are_kept() -> None:
    result = lint(ROOT)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "module", "statement"), BREACHES)
def test_a_forbidden_import_breaks_its_contract(
    copy: Path, contract: str, module: str, statement: str
) -> None:
    with (copy / module).open("a") as file:
        file.write(f"\n{statement}\n")

    result = lint(copy, f"--contract={contract}")

    assert result.returncode == 1
    assert "Contracts: 0 kept, 1 broken." in result.stdout


def test_a_new_module_of_the_service_needs_a_layer(copy: Path) -> None:
    (copy / "service/stray.py").touch()

    result = lint(copy, "--contract=layers")

    assert "service.stray" in result.stdout
    assert result.returncode == 1


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("service", {"torch", "onnx", "training", "export", "statewise_client", "matplotlib"}),
        ("statewise_client", {"onnxruntime", "pyarrow", "torch", "onnx", "protos", "service"}),
    ],
)
def test_loading_every_module_loads_nothing_heavy(package: str, absent: set[str]) -> None:
    program = (
        "import importlib, pkgutil, sys\n"
        f"import {package} as package\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert package in loaded.stdout.split()
    assert not absent & set(loaded.stdout.split())
