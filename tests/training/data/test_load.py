import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from training.config import DataConfig
from training.data.load import load_dataset
from training.errors import DataError
from training.trained import Channel

# Rows of two entities mixed, each in its own order.
CSV = """who,when,b_x,a_y,a_x,kind
007,1,10,20,30,up
x,5,11,21,31,down
007,2,12,22,32,down
x,6.5,13,23,33,up
007,9,14,1e2,-.5,up
"""


def config_for(path: Path) -> DataConfig:
    features = {"a_*": "g", "b_x": ""}
    return DataConfig(str(path), "who", "when", "kind", features)


def load_csv(tmp_path: Path, text: str):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return load_dataset(config_for(path))


def test_csv(tmp_path: Path) -> None:
    dataset = load_csv(tmp_path, CSV)
    assert dataset.features == (Channel("a_y", "g"), Channel("a_x", "g"), Channel("b_x", ""))
    assert dataset.labels == ("down", "up")
    first, second = dataset.sequences
    assert (first.entity, second.entity) == ("007", "x")
    assert first.features.dtype == np.float32
    assert first.features.tolist() == [[20, 30, 10], [22, 32, 12], [100, -0.5, 14]]
    assert first.targets.tolist() == [1, 0, 1]
    assert first.order.tolist() == [1, 2, 9]
    assert second.order.tolist() == [5, 6.5]


def write_parquet(
    tmp_path: Path, rows: int, features: int, entities: int
) -> tuple[Path, DataConfig]:
    """A table of random steps, whose rows of different entities are mixed."""
    draw = np.random.default_rng(2)
    path = tmp_path / "large.parquet"
    columns = {f"f{index}": pa.array(draw.random(rows, np.float32)) for index in range(features)}
    columns["who"] = pa.array(np.arange(rows) % entities)
    columns["when"] = pa.array(np.arange(rows))
    columns["kind"] = pa.array(draw.integers(0, 2, rows))
    pa.parquet.write_table(pa.table(columns), path, row_group_size=5_000)
    return path, DataConfig(str(path), "who", "when", "kind", {"f*": ""})


def test_blocks_and_a_file_in_place_of_memory_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, config = write_parquet(tmp_path, rows=101, features=3, entities=4)
    whole = load_dataset(config)
    arrow = tmp_path / "large.arrow"
    with pa.ipc.new_file(arrow, pa.parquet.read_schema(path)) as writer:
        writer.write_table(pa.parquet.read_table(path))
    monkeypatch.setattr("training.data.table._BLOCK_ROWS", 7)
    monkeypatch.setattr("training.data.columns._MOST_IN_MEMORY_BYTES", 0)
    for file in (path, arrow):
        mapped = load_dataset(replace(config, path=str(file)))
        assert isinstance(mapped.sequences[0].features.base, np.memmap)
        assert mapped.digest == whole.digest
        for one, other in zip(whole.sequences, mapped.sequences, strict=True):
            assert np.array_equal(one.order, other.order)


def test_a_fault_in_a_later_block_is_told_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.table._BLOCK_ROWS", 2)
    with pytest.raises(DataError, match=r"column 'b_x', row 4 \(who x\): 'oops' is not a number"):
        load_csv(tmp_path, CSV.replace("x,6.5,13", "x,6.5,oops"))


LOADING = """
import resource, sys
from training.config import DataConfig
from training.data.load import load_dataset
from training.data.scaling import fit_scaling
path, small, room = *sys.argv[1:3], int(sys.argv[3])
# Brings up the reader's threads, whose stacks count too.
load_dataset(DataConfig(small, "who", "when", "kind", {"f*": ""}))
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + room,) * 2)
dataset = load_dataset(DataConfig(path, "who", "when", "kind", {"f*": ""}))
fit_scaling(dataset.sequences, dataset.features)
print(dataset.digest, sum(map(len, dataset.sequences)))
"""


def test_a_table_larger_than_the_memory_allowed_is_loaded(tmp_path: Path) -> None:
    rows, features, room = 120_000, 400, 100 << 20
    small, _ = write_parquet(tmp_path, 500, features, entities=2)
    small = small.rename(tmp_path / "small.parquet")
    path, _ = write_parquet(tmp_path, rows, features, entities=2)
    assert rows * features * 4 > 1.5 * room
    small_blocks = "import training.data.table as t, training.data.columns as c\n"
    small_blocks += "t._BLOCK_ROWS, c._MOST_IN_MEMORY_BYTES = 2_000, 1 << 20\n"
    large_blocks = "import training.data.table as t\n"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    environment["MALLOC_ARENA_MAX"] = "1"
    fits, starves = (
        subprocess.run(
            [sys.executable, "-c", head + LOADING, str(path), str(small), str(room)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        for head in (small_blocks, large_blocks)
    )
    assert fits.returncode == 0, fits.stderr
    assert fits.stdout.split()[1] == str(rows)
    # All in memory, the same does not fit: the limit is one.
    assert starves.returncode != 0


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    from_csv = load_csv(tmp_path, CSV)
    path = tmp_path / "t.parquet"
    columns = {
        "kind": pa.array(["up", "down", "down", "up", "up"]).dictionary_encode(),
        "who": ["007", "x", "007", "x", "007"],
        "when": [1, 5, 2, 6.5, 9],
        "a_y": pa.array([20, 21, 22, 23, 100], pa.int16()),
        "a_x": pa.array([30, 31, 32, 33, -0.5], pa.float32()),
        "b_x": [10.0, 11.0, 12.0, 13.0, 14.0],
    }
    pa.parquet.write_table(pa.table(columns), path)
    assert load_dataset(config_for(path)).digest == from_csv.digest


@pytest.mark.parametrize(
    ("old", "new"), [("30", "31"), ("007,1,10,20,30,up", "007,1,10,20,30,down"), ("\nx,", "\ny,")]
)
def test_the_digest_covers_values_targets_and_entities(tmp_path: Path, old: str, new: str) -> None:
    assert load_csv(tmp_path, CSV).digest != load_csv(tmp_path, CSV.replace(old, new)).digest


def test_times_order_rows(tmp_path: Path) -> None:
    times = {",1,": ",2026-01-01 00:00:01,", ",2,": ",2026-01-01 00:00:02,", ",9,": ",2027-01-01,"}
    text = CSV.replace("x,5,", "x,2026-01-01,").replace("6.5", "2026-01-02")
    for number, time in times.items():
        text = text.replace(number, time)
    order = load_csv(tmp_path, text).sequences[0].order
    assert order[2] - order[0] > np.timedelta64(364, "D")


def test_whole_numbers_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"who": ["a"] * 3, "when": [1, 2, 3], "a_x": [1.0, 2.0, 3.0], "kind": [10, 9, 10]}
    pa.parquet.write_table(pa.table(columns), path)
    dataset = load_dataset(replace(config_for(path), features={"a_x": ""}))
    assert dataset.labels == ("9", "10")
    assert dataset.sequences[0].targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b_x", "bx", "there is no column 'b_x'; did you mean 'bx'?"),
        ("kind", "class", "there is no column 'kind'; there are who, when"),
        ("who", "entity", "there is no column 'who'"),
        ("a_x", "a_y", "column 'a_y' is there twice; rename one of them"),
        (",32,", ",abc,", "column 'a_x', row 3 (who 007): 'abc' is not a number; correct it"),
        (",32,", ",,", "column 'a_x', row 3 (who 007): the cell is empty; fill it in or remove"),
        (",33,", ",nan,", "column 'a_x', row 4 (who x): nan is not a finite number"),
        (",33,", ",-inf,", "column 'a_x', row 4 (who x): -inf is not a finite number"),
        (",33,", ",1e39,", "column 'a_x', row 4 (who x): 1e+39 does not fit a 32-bit float"),
        ("007,2,", "007,1,", "column 'when', row 3 (who 007): 1.0 is there twice; keep one of"),
        ("007,9,", "007,1.5,", "row 5 (who 007): 1.5 comes after 2.0; sort the rows by 'when'"),
        ("007,9,", "007,late,", "column 'when', row 5 (who 007): 'late' is not a number"),
        ("x,5,11", ",5,11", "column 'who', row 2: the cell is empty"),
        ("down", "up", "target column 'kind' holds a single class, 'up'; a classifier needs at"),
        ("33,up", "33,up,7", "damaged .csv file: CSV parse error"),
    ],
)
def test_faults_say_where_and_what(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError) as raised:
        load_csv(tmp_path, CSV.replace(old, new))
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 't.csv'}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "damaged .csv file: Empty CSV file"),
        ("t.csv", CSV.partition("\n")[0].encode() + b"\n", "the table has no rows"),
        ("t.parquet", b"PAR1 but not really", "damaged .parquet file"),
        (
            "t.xlsx",
            b"",
            "not a table that can be read; give a file in .parquet, .csv",
        ),
        ("t.csv", None, "there is no such file; check data.path"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load_dataset(config_for(path))
    assert str(raised.value).startswith(f"{path}: {message}")


def test_a_parquet_column_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    good = {"who": ["a", "a"], "when": [1, 2], "a_x": [1.0, 2.0], "kind": ["u", "d"]}
    config = replace(config_for(path), features={"a_x": ""})
    for column, values, message in [
        ("a_x", [[1.0], [2.0]], "column 'a_x' holds list<.*>, not numbers"),
        ("kind", [0.5, 0.7], "target column 'kind' holds double; classes have to be text or"),
        ("a_x", [1.0, None], r"column 'a_x', row 2 \(who a\): the cell is empty"),
    ]:
        pa.parquet.write_table(pa.table(good | {column: values}), path)
        with pytest.raises(DataError, match=message):
            load_dataset(config)


def test_a_target_is_no_input(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    with pytest.raises(DataError, match=r"column 'who' is data\.entity, and can't be an input"):
        load_dataset(replace(config_for(path), features={"*": ""}))


GROUPED = """who,when,b_x,a_y,a_x,kind,team
007,1,10,20,30,up,red
x,5,11,21,31,down,blue
007,2,12,22,32,down,red
"""


def test_entities_have_their_group(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GROUPED)
    alone = load_dataset(config_for(path))
    assert [sequence.group for sequence in alone.sequences] == ["007", "x"]
    together = load_dataset(replace(config_for(path), group="team"))
    assert [sequence.group for sequence in together.sequences] == ["red", "blue"]
    path.write_text(GROUPED + "x,6,1,1,1,up,red\n")
    with pytest.raises(DataError, match=r"'team', row 4 \(who x\): red after blue; an entity"):
        load_dataset(replace(config_for(path), group="team"))


@pytest.mark.parametrize("ending", ["arrow", "feather"])
def test_arrow_is_what_parquet_is(tmp_path: Path, ending: str) -> None:
    table = pa.csv.read_csv(io.BytesIO(CSV.encode()))
    path = tmp_path / f"t.{ending}"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    wanted = load_dataset(config_for(tmp_path / "t.parquet"))
    assert load_dataset(config_for(path)).digest == wanted.digest
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"damaged \.{ending} file"):
        load_dataset(config_for(path))
