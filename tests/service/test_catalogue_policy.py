"""Versions that enter and leave a model's version_policy while others are served."""

import asyncio

import pytest
from calling import arrays, row
from foreign import accumulator
from test_catalogue import Repository, until

from service.errors import InvalidArgument

LATEST = "version_policy { latest { num_versions: 1 } }\n"


def put_version(folder, number, data):
    path = folder / "acc" / str(number) / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(data)


def set_policy(folder, policy):
    """Writes the policy into the config, in place of the one that it has."""
    path = folder / "acc" / "config.pbtxt"
    kept = [line for line in path.read_text().splitlines() if "version_policy" not in line]
    path.write_text("\n".join([policy, *kept]))


@pytest.fixture
def model(tmp_path):
    """The file of a model whose newest version alone is wanted."""
    path = accumulator(tmp_path / "acc")
    set_policy(tmp_path, LATEST)
    return path.read_bytes()


def versions(served):
    return [one.version for one in served.calls.models.versions("acc")]


async def test_a_newer_version_sends_the_one_before_away_and_its_streams_stay(tmp_path, model):
    served = Repository(tmp_path, unload_seconds=10_000)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    put_version(tmp_path, 2, model)
    await served.catalogue.load("acc")
    assert versions(served) == [2]
    assert served.states("acc")["1"][0] == "UNLOADING"
    old = await served.calls.infer(1, x=row(1, 1, 1))
    assert (old.model.version, arrays(old)["y"].tolist()) == (1, [[5, 6, 7]])
    assert (await served.calls.infer(2, start=True, x=row(1, 1, 1))).model.version == 2
    await served.calls.infer(1, end=True, x=row(1, 1, 1))
    await until(lambda: served.states("acc") == {"2": ("READY", "")})


async def test_streams_of_a_version_that_left_end_at_the_deadline(tmp_path, model):
    served = Repository(tmp_path, unload_seconds=0.05)
    await served.calls.infer(1, start=True, x=row(1, 1, 1))
    put_version(tmp_path, 2, model)
    await served.catalogue.load("acc")
    await until(lambda: not served.calls.streams.live)
    assert (await served.calls.infer(1, x=row(0, 0, 0))).reason == "MODEL_UNLOADED"


async def test_a_broken_newer_version_sends_nobody_away(tmp_path, model):
    served = Repository(tmp_path)
    put_version(tmp_path, 2, model[:300])
    await served.catalogue.load("acc")
    assert versions(served) == [1]
    assert "not a whole ONNX file" in served.states("acc")["2"][1]
    put_version(tmp_path, 3, model)
    await served.catalogue.load("acc")
    assert set(served.states("acc")) - {"1"} == {"3"}
    assert versions(served) == [3]


async def test_the_version_before_comes_back_as_the_newest_goes(tmp_path, model):
    put_version(tmp_path, 2, model)
    served = Repository(tmp_path, watch_seconds=0.01)
    assert versions(served) == [2]
    watch = asyncio.create_task(served.catalogue.watch())
    (tmp_path / "acc" / "2" / "model.onnx").unlink()
    await until(lambda: versions(served) == [1])
    watch.cancel()


async def test_a_changed_policy_is_followed(tmp_path, model):
    put_version(tmp_path, 2, model)
    served = Repository(tmp_path)
    set_policy(tmp_path, "version_policy { specific { versions: [ 1 ] } }")
    await served.catalogue.load("acc")
    assert versions(served) == [1]
    set_policy(tmp_path, "version_policy { all {} }")
    await served.catalogue.load("acc")
    assert versions(served) == [1, 2]


async def test_a_policy_that_cannot_be_followed_leaves_all_as_it_was(tmp_path, model):
    served = Repository(tmp_path)
    put_version(tmp_path, 2, model)
    set_policy(tmp_path, "version_policy { specific { versions: [ 2, 7 ] } }")
    with pytest.raises(InvalidArgument, match=r"version 7 is not there, of 1, 2; add .*acc/7"):
        await served.catalogue.load("acc")
    assert versions(served) == [1]
    state, reason = served.states("acc")["2"]
    assert state == "UNAVAILABLE"
    assert "version 7 is not there" in reason
    put_version(tmp_path, 7, model)
    await served.catalogue.load("acc")
    assert versions(served) == [2, 7]
    assert "1" not in served.states("acc") or served.states("acc")["1"][0] == "UNLOADING"


async def test_watching_says_once_what_is_wrong_and_follows_others(tmp_path, model, caplog):
    served = Repository(tmp_path, watch_seconds=0.01)
    set_policy(tmp_path, "version_policy { latest { num_versions: 0 } }")
    watch = asyncio.create_task(served.catalogue.watch())
    await until(lambda: "num_versions is 0" in caplog.text)
    # "zoo" comes after "acc" in every look; it is loaded in a later one than the first.
    accumulator(tmp_path / "zoo")
    await until(lambda: served.calls.models.versions("zoo"))
    assert versions(served) == [1]
    assert caplog.text.count("num_versions is 0") == 1
    watch.cancel()
