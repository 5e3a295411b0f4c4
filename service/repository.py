"""The folder of models: `<name>/<version>/model.onnx`, as Triton lays it out.

Owns finding models. Reads no model; knows nothing of serving.
"""

from pathlib import Path
from typing import NamedTuple

from service.errors import ArtifactError

MODEL_FILE = "model.onnx"


class Entry(NamedTuple):
    """One version of one model on disk."""

    name: str
    version: int
    path: Path


def scan(repository: Path) -> list[Entry]:
    """Every version of every model, by name and then by version.

    Folders whose name is no positive number, and versions without a model file, are no versions.

    Raises:
        ArtifactError: the folder is missing or holds no model.
    """
    if not repository.is_dir():
        raise ArtifactError(
            f"model repository {repository}: no such folder; make it, with a model under "
            f"<name>/<version>/{MODEL_FILE}"
        )
    entries = [
        Entry(path.parent.parent.name, int(path.parent.name), path)
        for path in repository.glob(f"*/*/{MODEL_FILE}")
        if path.parent.name.isdecimal() and int(path.parent.name) > 0
    ]
    if not entries:
        raise ArtifactError(
            f"model repository {repository}: no model in it; write one to "
            f"{repository}/<name>/1/{MODEL_FILE} with `python -m export`"
        )
    return sorted(entries)
