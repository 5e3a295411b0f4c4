"""Versions that come, change, break and go while others are served."""

import asyncio
import os
import shutil
import threading
from functools import partial
from pathlib import Path

import onnx
import pytest
from calling import Calls, arrays, row
from foreign import accumulator, doubling

from service.artifacts import repository, versions
from service.catalogue import Catalogue
from service.errors import InvalidArgument, NotFound
from service.metrics import Metrics
from service.models.loader import load_model
from service.settings import Settings


class Repository:
    """A folder with one model, served as a server does it."""

    def __init__(self, folder: Path, **options: float) -> None:
        self.folder = folder
        self.settings = Settings(folder, max_streams=8, **options)
        self.metrics = Metrics()
        self._load = partial(load_model, settings=self.settings, metrics=self.metrics)
        self.calls = Calls(*map(self._load, versions.wanted(repository.scan(folder))))
        self.catalogue = Catalogue(self.calls.models, self.calls.streams, self.settings, self.load)
        self.loads = []
        # A load that has begun; it is held up until it may end.
        self.loading, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def load(self, entry):
        self.loads.append(entry.name)
        self.loading.set()
        assert self.may_end.wait(60)
        return self._load(entry)

    def told(self, name):
        """The labels of a gauge's series, without those of the model."""
        return [
            {key: value for key, value in sample.labels.items() if key not in ("model", "version")}
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"statewise_{name}"
        ]

    def states(self, name):
        return {
            one.version: (one.state, one.reason)
            for one in self.catalogue.index()
            if one.name == name
        }


def touch(path):
    """Makes a file look changed, whatever the clock's resolution."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)


async def test_new_streams_take_a_new_version_and_open_ones_stay(tmp_path):
    path = accumulator(tmp_path / "acc")
    served = Repository(tmp_path)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    (path.parent.parent / "2").mkdir()
    (path.parent.parent / "2" / "model.onnx").write_bytes(path.read_bytes())
    await served.catalogue.load("acc")
    old = await served.calls.infer(1, x=row(1, 1, 1))
    new = await served.calls.infer(2, start=True, x=row(1, 1, 1))
    assert (old.model.version, new.model.version) == (1, 2)
    assert arrays(old)["y"].tolist() == [[5, 6, 7]]
    assert served.states("acc") == {"1": ("READY", ""), "2": ("READY", "")}


async def test_a_broken_new_version_disturbs_nobody_and_is_told(tmp_path):
    path = accumulator(tmp_path / "acc")
    served = Repository(tmp_path)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    (path.parent.parent / "2").mkdir()
    (path.parent.parent / "2" / "model.onnx").write_bytes(path.read_bytes()[:300])
    await served.catalogue.load("acc")
    assert arrays(await served.calls.infer(1, x=row(0, 0, 0)))["y"].tolist() == [[3, 4, 5]]
    assert (await served.calls.infer(2, start=True, x=row(0, 0, 0))).model.version == 1
    state, reason = served.states("acc")["2"]
    assert state == "UNAVAILABLE"
    assert "not a whole ONNX file" in reason


async def test_a_changed_file_is_loaded_again_and_open_streams_stay_with_the_old(tmp_path):
    path = doubling(tmp_path / "double")
    served = Repository(tmp_path)
    doubling(tmp_path / "double", factor=3)
    touch(path)
    await served.catalogue.load("double")
    assert arrays(await served.calls.infer(x=row(1, 1, 1)))["y"].tolist() == [[3, 3, 3]]


async def test_an_unchanged_file_is_not_loaded_again(tmp_path):
    doubling(tmp_path / "double")
    served = Repository(tmp_path)
    before = served.calls.models.find("double")
    await served.catalogue.load("double")
    assert served.calls.models.find("double") is before


async def test_an_unloaded_model_lets_its_streams_end_until_the_deadline(tmp_path):
    accumulator(tmp_path / "acc")
    served = Repository(tmp_path, unload_seconds=0.05)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    served.catalogue.unload("acc")
    assert (await served.calls.infer(2, start=True, x=row(1, 1, 1))).reason == "MODEL_NOT_FOUND"
    assert arrays(await served.calls.infer(1, x=row(0, 0, 0)))["y"].tolist() == [[3, 4, 5]]
    assert served.states("acc")["1"][0] == "UNLOADING"
    await until(lambda: not served.calls.streams.live)
    assert (await served.calls.infer(1, x=row(0, 0, 0))).reason == "MODEL_UNLOADED"
    await until(lambda: not served.states("acc"))
    await served.catalogue.load("acc")
    assert arrays(await served.calls.infer(1, start=True, x=row(1, 1, 1)))["y"][0, 0] == 3


async def test_an_unloaded_model_is_gone_as_soon_as_its_last_stream_closes(tmp_path):
    accumulator(tmp_path / "acc")
    served = Repository(tmp_path, unload_seconds=10_000)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    served.catalogue.unload("acc")
    await served.calls.infer(1, end=True, x=row(1, 1, 1))
    await until(lambda: not served.states("acc"))


async def test_what_is_not_there_or_wholly_broken_is_refused(tmp_path):
    doubling(tmp_path / "double")
    served = Repository(tmp_path)
    with pytest.raises(NotFound, match="no such folder"):
        await served.catalogue.load("other")
    with pytest.raises(NotFound):
        served.catalogue.unload("other")
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "model.onnx").write_text("no model")
    with pytest.raises(InvalidArgument, match="not a whole ONNX file"):
        await served.catalogue.load("bad")


async def test_a_broken_model_whose_folder_is_gone_is_listed_no_more(tmp_path):
    doubling(tmp_path / "double")
    served = Repository(tmp_path, watch_seconds=0.01)
    watch = asyncio.create_task(served.catalogue.watch())
    version = tmp_path / "bad" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("no model")
    await until(lambda: served.states("bad"))
    shutil.rmtree(tmp_path / "bad")
    await until(lambda: not served.states("bad"))
    watch.cancel()


async def test_a_load_of_a_model_whose_folder_is_gone_says_so_and_lists_it_no_more(tmp_path):
    doubling(tmp_path / "double")
    served = Repository(tmp_path)
    version = tmp_path / "bad" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("no model")
    with pytest.raises(InvalidArgument):
        await served.catalogue.load("bad")
    shutil.rmtree(tmp_path / "bad")
    with pytest.raises(NotFound):
        await served.catalogue.load("bad")
    assert not served.states("bad")


async def test_watching_finds_new_changed_and_removed_versions(tmp_path):
    doubling(tmp_path / "double")
    served = Repository(tmp_path, watch_seconds=0.01)
    watch = asyncio.create_task(served.catalogue.watch())
    doubling(tmp_path / "double", factor=3, version=2)
    await until(lambda: len(served.calls.models.versions("double")) == 2)
    assert arrays(await served.calls.infer(x=row(1, 1, 1)))["y"].tolist() == [[3, 3, 3]]
    (tmp_path / "double" / "2" / "model.onnx").unlink()
    await until(lambda: len(served.calls.models.versions("double")) == 1)
    assert arrays(await served.calls.infer(x=row(1, 1, 1)))["y"].tolist() == [[2, 2, 2]]
    watch.cancel()


@pytest.mark.parametrize("watched", [True, False])
async def test_what_is_unloaded_while_it_is_loaded_is_not_served(tmp_path, watched):
    path = doubling(tmp_path / "double")
    served = Repository(tmp_path)
    touch(path)
    served.may_end.clear()
    look = served.catalogue._look_around() if watched else served.catalogue.load("double")
    loading = asyncio.ensure_future(look)
    await until(served.loading.is_set)
    served.catalogue.unload("double")
    served.may_end.set()
    if watched:
        await loading
    else:
        with pytest.raises(InvalidArgument) as caught:
            await loading
        assert caught.value.reason == "MODEL_UNLOADED"
    assert (await served.calls.infer(x=row(1, 1, 1))).reason == "MODEL_NOT_FOUND"
    await until(lambda: not served.states("double"))
    assert served.told("model_info") == []
    # Nor by the next look; but by whoever asks for it.
    await served.catalogue._look_around()
    assert not list(served.calls.models)
    await served.catalogue.load("double")
    assert arrays(await served.calls.infer(x=row(1, 1, 1)))["y"].tolist() == [[2, 2, 2]]


async def test_a_model_whose_turn_has_not_come_is_not_loaded_once_it_is_unloaded(tmp_path):
    paths = [doubling(tmp_path / name) for name in ("a", "b")]
    served = Repository(tmp_path)
    for path in paths:
        touch(path)
    served.may_end.clear()
    looking = asyncio.ensure_future(served.catalogue._look_around())
    await until(served.loading.is_set)
    served.catalogue.unload("b")
    served.may_end.set()
    await looking
    assert [model.name for model in served.calls.models] == served.loads == ["a"]


async def test_what_is_told_of_a_version_ends_with_it(tmp_path):
    path = accumulator(tmp_path / "acc")
    served = Repository(tmp_path, unload_seconds=10_000)
    (before,) = served.told("model_info")
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    # Other content under the same version: one series, and it is the new one's.
    model = onnx.load(path)
    model.graph.doc_string = "the same, told otherwise"
    onnx.save(model, path)
    await served.catalogue.load("acc")
    (after,) = served.told("model_info")
    assert after["content_digest"] != before["content_digest"]
    await served.calls.infer(1, end=True, x=row(1, 1, 1))
    await until(lambda: list(served.states("acc").values()) == [("READY", "")])
    for gauge in ("model_info", "self_test_worst_error", "open_streams", "max_streams"):
        assert len(served.told(gauge)) == 1

    await served.calls.infer(2, start=True, x=row(1, 1, 1))
    served.catalogue.unload("acc")
    assert served.told("model_info") == served.told("self_test_worst_error") == []
    assert len(served.told("open_streams")) == 1
    await served.calls.infer(2, end=True, x=row(1, 1, 1))
    await until(lambda: not served.states("acc"))
    assert served.told("open_streams") == served.told("max_streams") == []

    await served.catalogue.load("acc")
    assert served.told("model_info") == [after]
    assert len(served.told("open_streams")) == len(served.told("max_streams")) == 1
