"""What every file of the repository keeps to, so that it can be read, and used anywhere."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
MOST_LINES, MOST_FUNCTION_LINES = 300, 40
# Absolute paths of one person's machine, and hosts that a package client or an image should be
# told by its own configuration. Written so that the pattern does not find itself.
FOREIGN = re.compile(
    r"(?<![\w.])/(home|root|work|Users)/\w"
    r"|pypi\.org|pythonhosted\.org|npmjs\.org|deb\.debian\.org"
    r"|(docker|ghcr|quay|nvcr|gcr)\.io/"
    r"|--(extra-)?index-url"
)


def files() -> list[Path]:
    """Every file that git keeps, or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every Python file that a person wrote: its path and its tree."""
    for path in files():
        if path.suffix == ".py" and not GENERATED.search(path.name):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files()
        if (match := FOREIGN.search(path.read_bytes().decode(errors="replace")))
    ]

    assert found == []


def test_what_names_a_machine_is_seen() -> None:
    for text in ("/" + "home/ada/data", "cd /" + "root/project", "docker" + ".io/library/python"):
        assert FOREIGN.search(text)
    for text in ("models/work/1", "https://example.org/home/ada", "docker.io"):
        assert not FOREIGN.search(text)


def test_every_module_fits_in_a_reading() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path, _ in modules()}

    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_a_package_file_is_its_docstring() -> None:
    packages = [(path, tree) for path, tree in modules() if path.endswith("__init__.py")]

    assert len(packages) > 5
    assert [path for path, tree in packages if len(tree.body) > 1] == []


def test_every_function_fits_on_a_screen() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of_code(node) > MOST_FUNCTION_LINES
    ]

    assert long == []


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its signature and its docstring."""
    skipped = 0 if ast.get_docstring(function) is None else 1
    body = function.body[skipped:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_readme_names_every_folder() -> None:
    readme = (ROOT / "README.md").read_text()
    folders = {path.relative_to(ROOT).parts[0] for path in files() if path.parent != ROOT}

    assert {folder for folder in folders if f"{folder}/" not in readme} == set()
