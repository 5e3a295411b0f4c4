"""Inputs of every form: what they hold is the same, and so are the answers."""

from dataclasses import replace

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from service.offline.score import score


@pytest.fixture
def expected(job, steps, save):
    save(steps())
    score(job)
    return parquet.read_table(job.output)


@pytest.mark.parametrize("name", ["steps.arrow", "steps.feather", "steps.csv", "steps.parquet"])
@pytest.mark.parametrize("mixed", [False, True])
def test_files_of_every_kind(job, expected, steps, save, name, mixed):
    table = steps()
    table = table if mixed else table.sort_by([("device", "ascending"), ("second", "ascending")])
    score(replace(job, input=save(table, name)))

    assert parquet.read_table(job.output).equals(expected)


def test_a_stream_of_arrow_in_a_file(job, expected, steps, tmp_path):
    path = tmp_path / "stream.arrow"
    with ipc.new_stream(path, steps().schema) as writer:
        writer.write_table(steps())

    score(replace(job, input=path))

    assert parquet.read_table(job.output).equals(expected)


def test_a_folder_is_its_files(job, expected, steps, save, tmp_path):
    save(steps().slice(0, 3), "many/a.parquet")
    save(steps().slice(3), "many/below/b.parquet")
    save(steps(), "many/_old/c.parquet")
    save(steps(), "many/.hidden.parquet")
    (tmp_path / "many" / "README.txt").touch()

    score(replace(job, input=tmp_path / "many"))

    assert parquet.read_table(job.output).equals(expected)


@pytest.mark.parametrize("numbers", [False, True])
def test_folders_may_name_a_column(job, steps, save, tmp_path, numbers):
    names = {"a": "7", "b": "10", "c": "08"} if not numbers else {"a": "7", "b": "10", "c": "8"}
    table = steps()
    for entity, name in names.items():
        part = table.filter(pa.compute.equal(table["device"], entity)).drop_columns("device")
        save(part, f"parts/device={name}/steps.parquet")

    score(replace(job, input=tmp_path / "parts"))

    kind = pa.int64() if numbers else pa.string()
    devices = parquet.read_table(job.output)["device"]
    assert devices.type == kind
    assert devices.to_pylist() == sorted(
        devices.to_pylist(),
    )
    assert len(devices) == 8
    assert set(devices.to_pylist()) == {int(n) if numbers else n for n in names.values()}


def test_a_place_in_a_folder_is_told_by_its_file(job, refusal, steps, save, tmp_path):
    save(steps(), "many/a.parquet")
    bad = [1.0, 2.0, float("nan"), *[3.0] * 5]
    save(steps(second=list(range(10, 18)), feature_1=bad), "many/b.parquet")

    assert refusal(replace(job, input=tmp_path / "many")).startswith(
        "many/b.parquet: row 3, column 'feature_1', entity 'a': is nan"
    )


def test_files_of_a_folder_that_do_not_fit(job, refusal, steps, save, tmp_path):
    save(steps(), "many/a.parquet")
    path = save(steps(device=[1] * 8), "many/b.parquet")
    many = replace(job, input=tmp_path / "many")
    assert refusal(many) == (
        "many/b.parquet: column 'device' is of type int64; convert it to string, as in the first "
        "file"
    )

    path.unlink()
    save(steps(), "many/c.csv")
    assert "has files that end in .csv and in .parquet" in refusal(many)


def test_a_folder_of_nothing(job, refusal, tmp_path):
    (tmp_path / "empty").mkdir()

    assert refusal(replace(job, input=tmp_path / "empty")) == (
        "empty: has no file of steps; give a folder of .parquet files"
    )


def test_an_output_in_the_folder_of_the_input(job, tmp_path):
    with pytest.raises(Exception, match="is in the folder of the input"):
        replace(job, input=tmp_path)


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip"])
def test_the_output_is_compressed_as_the_input(job, steps, tmp_path, codec):
    parquet.write_table(steps(), tmp_path / "steps.parquet", compression=codec)

    score(job)

    column = parquet.read_metadata(job.output).row_group(0).column(3)
    assert column.compression == {"none": "UNCOMPRESSED"}.get(codec, codec.upper())


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        (["0", "5", "1", "2", "3", "6", "7", "9"], pa.int64()),
        (["0", "5", "1", "2", "3", "6", "7.5", "9"], pa.float64()),
        ([f"2026-11-23 10:00:0{i}" for i in range(8)], pa.timestamp("ms")),
        ([f"2026-11-23T10:00:0{i}Z" for i in range(8)], pa.timestamp("ms", "UTC")),
        ([f"2026-11-23 10:00:0{i}.0025" for i in range(8)], pa.timestamp("ns")),
    ],
)
def test_the_order_of_a_csv_is_what_its_cells_are(job, steps, save, seconds, kind):
    score(replace(job, input=save(steps(second=seconds), "steps.csv")))

    assert parquet.read_schema(job.output).field("second").type == kind
    assert parquet.read_metadata(job.output).num_rows == 8


def test_an_order_of_a_csv_that_is_wider_below(job, steps, save):
    table = pa.concat_tables([steps()] * 20_000)
    seconds = [str(number) for number in range(len(table))]
    seconds[-1] += ".5"
    table = table.set_column(1, "second", pa.array(seconds))

    score(replace(job, input=save(table, "steps.csv")))

    assert parquet.read_schema(job.output).field("second").type == pa.float64()


def test_an_order_of_a_csv_that_is_text(job, refusal, steps, save):
    path = save(steps(second=list("abcdefgh")), "steps.csv")

    assert refusal(replace(job, input=path)) == (
        "steps.csv: column 'second' is of type string; convert it to numbers or times"
    )


def test_an_input_that_changes_meanwhile(job, refusal, steps, save, monkeypatch):
    from service.offline import score as module

    path = save(steps())
    prepare = module.prepare

    def slow(*arguments):
        plan = prepare(*arguments)
        save(steps(second=list(range(8))), path.name)
        return plan

    monkeypatch.setattr(module, "prepare", slow)

    assert refusal(job) == (
        "steps.parquet: changed while it was read; score it when it is finished"
    )
