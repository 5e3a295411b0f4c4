"""Each folder declares the libraries that it imports, so that its extra alone can run it."""

import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("training", "export", "protos", "service", "statewise_client", "benchmarks", "demo")
STUB_GENERATOR = "protos.generate"
# What a peer's server runs of ours, in the peer's own environment.
OF_PEERS = {"benchmarks.peers.seldon_runtime", "benchmarks.peers.triton_model"}
# Modules that need an extra of their own.
OPTIONAL = {"service.offline.cluster": "ray", "service.tracing": "otel"}
DISTRIBUTIONS = packages_distributions()


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def project(folder: Path) -> dict[str, list[str]]:
    """Requirements by extra; "" are those without one."""
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return {"": declared["dependencies"], **declared.get("optional-dependencies", {})}


def distributions(extras: dict[str, list[str]], extra: str) -> set[str]:
    """What an extra installs, extras of the project itself followed."""
    found = set()
    for requirement in map(Requirement, extras[extra]):
        if requirement.name == "statewise":
            found |= set().union(*(distributions(extras, name) for name in requirement.extras))
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def libraries(graph: grimp.ImportGraph, *packages: str) -> set[str]:
    """Third-party packages that the modules of `packages` import."""
    own = {module for module in graph.modules if module.partition(".")[0] in packages}
    own -= {STUB_GENERATOR} | OF_PEERS | OPTIONAL.keys()
    imported = set().union(*(graph.find_modules_directly_imported_by(module) for module in own))
    return {name for name in imported if graph.is_module_squashed(name)} - sys.stdlib_module_names


def undeclared(names: set[str], declared: set[str]) -> set[str]:
    """Libraries that no declared distribution provides."""
    return {
        name
        for name in names
        if not {canonicalize_name(one) for one in DISTRIBUTIONS.get(name, ())} & declared
    }


@pytest.mark.parametrize(
    ("extra", "packages"),
    [
        ("training", ["training"]),
        ("export", ["export"]),
        ("service", ["service", "protos"]),
        ("benchmarks", ["benchmarks"]),
        ("demo", ["demo"]),
    ],
)
def test_an_extra_declares_what_its_folder_imports(
    graph: grimp.ImportGraph, extra: str, packages: list[str]
) -> None:
    extras = project(ROOT)
    declared = distributions(extras, "") | distributions(extras, extra)

    assert undeclared(libraries(graph, *packages), declared) == set()


@pytest.mark.parametrize(("module", "extra"), OPTIONAL.items())
def test_an_optional_module_needs_its_extra_alone(
    graph: grimp.ImportGraph, module: str, extra: str
) -> None:
    extras = project(ROOT)
    declared = set().union(*(distributions(extras, one) for one in ("", "service", extra)))
    imported = graph.find_modules_directly_imported_by(module)
    names = {name for name in imported if graph.is_module_squashed(name)}

    assert undeclared(names - sys.stdlib_module_names, declared) == set()


def test_the_client_needs_grpc_protobuf_and_numpy_only(graph: grimp.ImportGraph) -> None:
    declared = distributions(project(ROOT / "client"), "")

    assert declared == {"grpcio", "protobuf", "numpy"}
    assert undeclared(libraries(graph, "statewise_client"), declared) == set()


def test_the_reference_imports_numpy_alone(graph: grimp.ImportGraph) -> None:
    chain = graph.find_upstream_modules("training.reference")
    outside = {module for module in chain if graph.is_module_squashed(module)}

    assert outside - sys.stdlib_module_names == {"numpy"}


def test_an_undeclared_library_is_seen(graph: grimp.ImportGraph) -> None:
    assert undeclared(libraries(graph, "training"), {"numpy"}) >= {"torch"}
