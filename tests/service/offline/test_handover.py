"""States of a score, in a store: what a stream finds there is what streaming would have left."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from processes import serving
from pyarrow import parquet
from statewise_client.blocking import Client

from protos.statewise.v1.state_pb2 import Kept
from service.durability import blob
from service.errors import SettingsError, TableError
from service.offline.handover import load
from service.offline.score import score
from service.stores.opening import open_store

ROOT = Path(__file__).resolve().parents[3]
ROOMY = 2**30


@pytest.fixture
def ends(job, steps, save):
    """The states after all steps."""
    path = job.output.with_name("states.parquet")
    score(replace(job, input=save(steps()), state_out=path))
    return path


@pytest.fixture
def url(tmp_path):
    return f"sqlite:{tmp_path / 'states.db'}"


async def test_each_entity_is_a_stream_that_is_kept(ends, url, classifier, steps):
    loaded = await load(ends, url, owner="ada", overwrite=False)

    assert str(loaded) == "loaded 3 states"
    store = open_store(url, ROOMY)
    for row in parquet.read_table(ends).to_pylist():
        record = await store.read(row["entity"])
        assert (record.owner, record.model, record.version) == ("ada", "classifier", "1")
        assert (record.sequence, record.steps) == (0, row["steps"])
        kept = Kept.FromString(record.payload)
        assert kept.state == row["state"]
        assert blob.decode(kept.state).steps == row["steps"]
    await store.close()


async def test_streams_that_are_kept_there_are_left_alone(ends, url):
    await load(ends, url, owner="", overwrite=False)

    again = await load(ends, url, owner="", overwrite=False)
    assert (again.loaded, again.refused, again.first_refused) == (0, 3, "a")
    assert "--replace overwrites them" in str(again)

    over = await load(ends, url, owner="", overwrite=True)
    assert (over.loaded, over.refused) == (3, 0)
    # Of another owner nothing is overwritten.
    others = await load(ends, url, owner="eve", overwrite=True)
    assert (others.loaded, others.refused) == (0, 3)


async def test_a_store_that_would_not_last(ends):
    with pytest.raises(SettingsError, match="which ends with this command; take another"):
        await load(ends, "memory:", owner="", overwrite=False)


async def test_a_table_that_holds_no_states(url, steps, save):
    with pytest.raises(TableError, match="a file of states has entity, order, steps, state"):
        await load(save(steps()), url, owner="", overwrite=False)


async def test_an_entity_without_a_name(ends, url):
    table = parquet.read_table(ends)
    parquet.write_table(table.set_column(0, "entity", pa.array(["a", "", "c"])), ends)

    with pytest.raises(TableError, match="an entity has no name"):
        await load(ends, url, owner="", overwrite=False)


def test_the_command(ends, url):
    command = [sys.executable, "-m", "service", "state", "load", ends, "--state-store", url]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "loaded 3 states\n"), done.stderr


def test_history_then_streams_gives_the_bits_of_streaming_everything(
    job, classifier, save, tmp_path, url
):
    random = np.random.default_rng(4)
    lengths = {f"d{number}": int(random.integers(2, 60)) for number in range(8)}
    steps = {name: random.normal(size=(n, 3)).astype(np.float32) for name, n in lengths.items()}
    cuts = {name: int(random.integers(1, n)) for name, n in lengths.items()}
    history = pa.concat_tables(
        pa.table(
            {
                "device": [name] * cuts[name],
                "second": range(cuts[name]),
                **{f"feature_{i}": steps[name][: cuts[name], i] for i in range(3)},
            }
        )
        for name in lengths
    )
    states = tmp_path / "states.parquet"
    score(replace(job, input=save(history), state_out=states))
    scored = parquet.read_table(job.output)
    command = [sys.executable, "-m", "service", "state", "load", states, "--state-store", url]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)

    live = {}
    with (
        serving(classifier.path, "--state-store", url) as server,
        Client(server.target) as client,
    ):
        for name in lengths:
            with client.open("classifier", stream_id=name, resume=True) as stream:
                live[name] = stream.push(steps[name][cuts[name] :])

    for name, whole in steps.items():
        rows = scored.filter(pc.equal(scored["device"], name))
        before = np.stack([rows[f"output_{i}"].to_numpy() for i in range(4)], axis=1)
        both = np.concatenate([before, live[name]])
        assert both.tobytes() == classifier.alone(whole).tobytes()
