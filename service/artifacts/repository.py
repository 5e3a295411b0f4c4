"""The folder of models: `<name>/<version>/model.onnx`, as Triton lays it out.

Owns finding models. Reads no model; knows nothing of serving.
"""

from itertools import pairwise
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
        ArtifactError: the folder is missing, holds no model or can't be read, or two folders are
            the same version.
    """
    if not repository.is_dir():
        raise ArtifactError(
            f"model repository {repository}: no such folder; make it, with a model under "
            f"<name>/<version>/{MODEL_FILE}"
        )
    try:
        folders = [model for model in repository.iterdir() if model.is_dir()]
        entries = sorted(entry for model in folders for entry in find_versions(model))
    except OSError as error:
        raise ArtifactError(
            f"model repository: {error.filename} can't be read: {error.strerror}; give this user "
            "the right to read it, or move it out of the repository"
        ) from None
    if not entries:
        raise ArtifactError(
            f"model repository {repository}: no model in it; write one to "
            f"{repository}/<name>/1/{MODEL_FILE} with `python -m export`"
        )
    for one, other in pairwise(entries):
        if one[:2] == other[:2]:
            raise ArtifactError(
                f"model repository: {one.path.parent} and {other.path.parent} are both version "
                f"{one.version} of {one.name}; remove one"
            )
    return entries


def find_versions(model: Path) -> list[Entry]:
    """The versions in a model's folder, the newest last.

    Raises:
        OSError: it can't be read.
    """
    return sorted(
        Entry(model.resolve().name, int(version.name), version / MODEL_FILE)
        for version in model.iterdir()
        if version.name.isdecimal() and int(version.name) > 0 and (version / MODEL_FILE).is_file()
    )
