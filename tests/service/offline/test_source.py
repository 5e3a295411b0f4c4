"""Files that can't be read."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from service.offline.score import score


def test_no_file(job, refusal):
    assert refusal(job) == "steps.parquet: no such file; give the path of a file of steps"


def test_an_unknown_ending(job, refusal, save):
    job = replace(job, input=save("", "steps.xlsx"))

    assert refusal(job) == (
        "steps.xlsx: ends in '.xlsx'; give a file that ends in .parquet, .csv, .arrow, .feather "
        "or .ipc"
    )


def test_a_truncated_parquet(job, refusal, steps, save):
    path = save(steps())
    path.write_bytes(path.read_bytes()[:-9])

    message = refusal(job)
    assert message.startswith("steps.parquet: can't be read as Parquet: ")
    assert message.endswith("; write it again")


def test_a_parquet_that_is_damaged_inside(job, refusal, steps, save):
    path = save(pa.concat_tables([steps(feature_1=np.random.default_rng(1).normal(size=8))] * 99))
    data = bytearray(path.read_bytes())
    place = parquet.read_metadata(path).row_group(0).column(3).data_page_offset
    data[place : place + 100] = bytes(100)
    path.write_bytes(data)

    assert refusal(job).startswith("steps.parquet: can't be read as Parquet: ")


def test_a_csv_with_a_word_for_a_number(job, refusal, steps, save):
    rows = save(steps(), "steps.csv").read_text().splitlines()
    rows[4] = rows[4].rpartition(",")[0] + ",warm"
    job = replace(job, input=save("\n".join(rows), "steps.csv"))

    assert refusal(job) == (
        "steps.csv: row 4, column 'feature_2', entity 'c': is 'warm'; give a finite float32 "
        "number, since anything else would stay in the entity's state for ever"
    )


def test_a_csv_with_a_short_line(job, refusal, steps, save):
    text = save(steps(), "steps.csv").read_text()
    job = replace(job, input=save(f"{text}a,10\n", "steps.csv"))

    assert refusal(job) == (
        "steps.csv: row 9: has 2 cells, the header has 5; mend the line, or leave it out"
    )


def test_a_csv_with_a_missing_number(job, refusal, steps, save):
    job = replace(job, input=save(steps(feature_0=[1, 2, None, 4, 5, 6, 7, 8]), "steps.csv"))

    assert "row 3, column 'feature_0', entity 'a': is missing" in refusal(job)


def test_a_csv_with_a_missing_entity(job, refusal, steps, save):
    job = replace(job, input=save(steps(device=[*"ab", None, *"cabba"]), "steps.csv"))

    assert "row 3, column 'device', entity None: is missing" in refusal(job)


@pytest.mark.parametrize(("text", "wrong"), [("", "Empty CSV file"), ("device,second\n", "no col")])
def test_a_csv_of_nothing(job, refusal, save, text, wrong):
    assert wrong in refusal(replace(job, input=save(text, "steps.csv")))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_csv_with_other_marks_than_commas(job, refusal, steps, save, mark):
    text = save(steps(), "steps.csv").read_text().replace(",", mark)
    # As spreadsheets begin such a file.
    job = replace(job, input=save("\ufeff" + text, "steps.csv"))

    assert refusal(job) == (
        f"steps.csv: its cells seem to be separated by {mark!r}; separate them by ','"
    )


def test_a_csv_that_begins_as_spreadsheets_begin_it(job, steps, save):
    text = save(steps(), "steps.csv").read_text()
    job = replace(job, input=save("\ufeff" + text, "steps.csv"))

    assert score(job).tally.rows == 8


@pytest.mark.parametrize("code", ["latin-1", "utf-16"])
def test_a_csv_in_another_code(job, refusal, steps, save, code):
    path = save(steps(device=["ä"] * 8, second=range(8)), "steps.csv")
    path.write_bytes(path.read_text().encode(code))

    message = refusal(replace(job, input=path))
    assert message.startswith("steps.csv: can't be read as CSV: ")
    assert message.endswith("; save it as UTF-8")


def test_an_arrow_stream_that_ends_too_early(job, refusal, steps, tmp_path):
    path = tmp_path / "steps.arrow"
    with ipc.new_stream(path, steps().schema) as writer:
        writer.write_table(steps())
    path.write_bytes(path.read_bytes()[:-400])

    assert refusal(replace(job, input=path)).startswith("steps.arrow: can't be read as Arrow: ")
