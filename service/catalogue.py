"""Which versions of which models are served: at the start, on request, and as the folder changes.

Owns loading and unloading while others are served. A version is proven before it takes a stream; a
broken one is written down with its reason and disturbs nobody. Streams stay with the version that
they were opened with until they close, or the time of an unloaded version is over. Which versions
of a model are wanted is `versions` to say.
"""

import asyncio
import logging
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from service.artifacts import repository, versions
from service.artifacts.config import CONFIG_FILE
from service.artifacts.repository import Entry
from service.background import turn
from service.errors import ArtifactError, InvalidArgument, NotFound, ServiceError, shorten
from service.models.served import Models, ServedModel
from service.settings import Settings
from service.streams.seam import Streams

_log = logging.getLogger(__name__)


class Listed(NamedTuple):
    """One version and how it fares, in Triton's words: READY, UNAVAILABLE or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str


class _Seen(NamedTuple):
    """What a version's files looked like when they were read."""

    changed: tuple[tuple[int, int], ...]


class _Refusal(NamedTuple):
    """Why nothing of a model is loaded, and the versions that it has on disk."""

    reason: str
    versions: list[int]


class Catalogue:
    """The versions of one repository."""

    def __init__(
        self,
        models: Models,
        streams: Streams,
        settings: Settings,
        load: Callable[[Entry], ServedModel],
    ) -> None:
        """Takes over the models that were loaded at the start.

        Args:
            models: what is served; changed here alone.
            streams: whose streams keep a version alive.
            settings: of the server.
            load: makes a version ready; called on a thread.
        """
        self._models = models
        self._streams = streams
        self._settings = settings
        self._load = load
        self._seen = {(model.name, model.version): _look(model.artifact.path) for model in models}
        self._broken: dict[tuple[str, int], str] = {}
        # Models whose config does not say which versions are wanted; what they serve goes on.
        self._refused: dict[str, _Refusal] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._unloading: dict[int, ServedModel] = {}
        self._unwanted: set[str] = set()
        self._lock = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether new streams are taken."""
        return not self._streams.draining

    def index(self) -> list[Listed]:
        """Every version that was found, by name and version."""
        listed = [Listed(one.name, str(one.version), "READY", "") for one in self._models]
        served = {(one.name, one.version) for one in listed}
        refused = {
            (name, version): refusal.reason
            for name, refusal in self._refused.items()
            for version in refusal.versions
        }
        listed += [
            Listed(name, str(version), "UNAVAILABLE", reason)
            for (name, version), reason in (refused | self._broken).items()
            if (name, str(version)) not in served
        ]
        listed += [
            Listed(one.name, str(one.version), "UNLOADING", "unloaded, with streams open")
            for one in self._unloading.values()
        ]
        return sorted(listed)

    async def load(self, name: str) -> None:
        """Loads what is wanted of a model and new or changed on disk, and unloads the rest.

        Raises:
            NotFound: the repository has no such model.
            InvalidArgument: none of its versions can be served, and the message is the newest's; or
                its config does not say which.
        """
        async with self._lock:
            found = [entry for entry in self._scan() if entry.name == name]
            if not found:
                self._forget({key for key in self._broken if key[0] != name})
                raise NotFound(
                    f"model is {shorten(name)!r}; the repository has no such folder with a version",
                    reason="MODEL_NOT_FOUND",
                    model=shorten(name),
                )
            self._unwanted.discard(name)
            faults = await self._follow(found)
            refusal = self._refused.get(name)
            if name in self._unwanted:
                raise InvalidArgument(
                    f"model {name} was unloaded while it was loaded; load it again",
                    reason="MODEL_UNLOADED",
                    model=name,
                )
        if refusal is not None or not self._models.versions(name):
            message = refusal.reason if refusal is not None else faults[-1]
            raise InvalidArgument(message, reason="MODEL_BROKEN", model=name)

    def unload(self, name: str) -> None:
        """Opens no stream with a model any more; what is being loaded of it is let go of.

        Raises:
            NotFound: it is not served.
        """
        versions = self._models.versions(self._models.find(name).name)
        self._unwanted.add(name)
        for model in versions:
            self._retire(model)

    async def watch(self) -> None:
        """Looks for new, changed and removed versions until it is cancelled."""
        while True:
            await asyncio.sleep(self._settings.watch_seconds)
            with turn("the watch over the model repository"):
                try:
                    async with self._lock:
                        await self._look_around()
                except ServiceError as error:
                    _log.warning("the model repository can't be watched: %s", error.message)

    async def _look_around(self) -> None:
        """Serves the folder as it is now; the lock is held."""
        scanned = self._scan()
        self._forget({(entry.name, entry.version) for entry in scanned})
        found = [entry for entry in scanned if entry.name not in self._unwanted]
        models = versions.by_model(found)
        for one in models:
            await self._follow(one)
        there = {(entry.name, entry.version) for entry in found}
        for model in self._models:
            if (model.name, model.version) not in there:
                self._retire(model)
        names = {one[0].name for one in models}
        self._refused = {name: one for name, one in self._refused.items() if name in names}

    async def _follow(self, found: list[Entry]) -> list[str]:
        """Serves what is wanted of a model's versions; returns the faults. The lock is held."""
        name = found[0].name
        try:
            chosen = versions.choose(found)
        except ArtifactError as error:
            before = self._refused.get(name)
            self._refused[name] = _Refusal(error.message, [entry.version for entry in found])
            if before is None or before.reason != error.message:
                _log.warning("not served: %s", error.message)
            return []
        self._refused.pop(name, None)
        faults = await self._refresh(chosen)
        self._leave_out(name, {entry.version for entry in chosen})
        return faults

    def _leave_out(self, name: str, chosen: set[int]) -> None:
        """Unloads what is not wanted; the newest of it stay where wanted ones are broken."""
        served = self._models.versions(name)
        others = [model for model in served if model.version not in chosen]
        broken = len(chosen) - (len(served) - len(others))
        for model in others[: max(0, len(others) - broken)]:
            self._retire(model)
        gone = {key for key in self._broken if key[0] == name and key[1] not in chosen}
        self._forget(self._broken.keys() - gone)

    def _forget(self, there: Set[tuple[str, int]]) -> None:
        """Says nothing any more of broken versions that are not there."""
        for key in self._broken.keys() - there:
            del self._broken[key]
            self._seen.pop(key, None)

    def _scan(self) -> list[Entry]:
        return repository.scan(self._settings.model_repository)

    async def _refresh(self, entries: list[Entry]) -> list[str]:
        """Loads what has changed; returns the faults. The lock is held.

        Nothing more is loaded of a model that is unloaded meanwhile.
        """
        faults = []
        for entry in entries:
            if entry.name in self._unwanted:
                break
            key, look = (entry.name, entry.version), _look(entry.path)
            if self._seen.get(key) == look:
                if key in self._broken:
                    faults.append(self._broken[key])
                continue
            self._seen[key] = look
            try:
                model = await asyncio.to_thread(self._load, entry)
            except ServiceError as error:
                _log.warning("not served: %s", error.message)
                self._broken[key] = error.message
                faults.append(error.message)
                continue
            self._broken.pop(key, None)
            if entry.name in self._unwanted:
                self._retire(model)
                break
            before = self._models.add(model)
            if before is not None:
                self._drain(before)
        return faults

    def _retire(self, model: ServedModel) -> None:
        self._models.remove(model)
        self._seen.pop((model.name, model.version), None)
        self._drain(model)

    def _drain(self, model: ServedModel) -> None:
        """Leaves a version's open streams their time."""
        _log.info("model %s/%d takes no more streams", model.name, model.version)
        model.metrics.retired()
        self._unloading[id(model)] = model
        task = asyncio.create_task(self._streams.evict(model, self._settings.unload_seconds))
        self._leaving.add(task)

        def gone(done: asyncio.Task[None]) -> None:
            self._leaving.discard(done)
            self._unloading.pop(id(model), None)
            model.metrics.gone()

        task.add_done_callback(gone)


def _look(path: Path) -> _Seen:
    """Size and time of a version's files."""
    files = (path, path.parent.parent / CONFIG_FILE)
    stats = []
    for file in files:
        with suppress(FileNotFoundError):
            stats.append(file.stat())
    return _Seen(tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))
