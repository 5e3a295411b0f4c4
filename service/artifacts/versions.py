"""Which of a model's versions are served: the `version_policy` of its config.pbtxt.

Owns what latest, all and specific mean here, and that a model that says nothing has all its
versions served. Loads nothing.
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from service.artifacts import config
from service.artifacts.repository import MODEL_FILE, Entry
from service.errors import ArtifactError


def by_model(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Versions in their order, a list a model."""
    return [list(found) for _, found in groupby(entries, key=lambda entry: entry.name)]


def wanted(entries: Iterable[Entry]) -> list[Entry]:
    """Those of a repository's versions that are to be served, in their order.

    Raises:
        ArtifactError: as `choose`, of any model.
    """
    return [entry for found in by_model(entries) for entry in choose(found)]


def choose(found: list[Entry]) -> list[Entry]:
    """Those of one model's versions, the newest last, that are to be served.

    Raises:
        ArtifactError: its config can't be read, or its policy asks for no version, or for one that
            is not there.
    """
    folder = found[0].path.parent.parent
    declared = config.read(folder)
    kind = declared.version_policy.WhichOneof("policy_choice") if declared else None
    if declared is None or kind in (None, "all"):
        return found
    policy, where = declared.version_policy, f"{folder / config.CONFIG_FILE}: version_policy"
    if kind == "specific":
        return _specific(found, set(policy.specific.versions), where, folder)
    newest = policy.latest.num_versions
    if newest < 1:
        raise ArtifactError(f"{where}: num_versions is {newest}; take 1 or more")
    return found[-newest:]


def _specific(found: list[Entry], named: set[int], where: str, folder: Path) -> list[Entry]:
    if not named:
        raise ArtifactError(f"{where}: specific names no version; name one or more")
    there = [entry.version for entry in found]
    missing = sorted(named.difference(there))
    if missing:
        raise ArtifactError(
            f"{where}: version {missing[0]} is not there, of {', '.join(map(str, there))}; add "
            f"{folder / str(missing[0]) / MODEL_FILE}, or leave it out"
        )
    return [entry for entry in found if entry.version in named]
