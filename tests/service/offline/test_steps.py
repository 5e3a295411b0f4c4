"""What a table may not hold; each refusal says where it is and what to do."""

import numpy as np
import pyarrow as pa
import pytest


def test_a_missing_column(job, refusal, steps, save):
    save(steps().rename_columns({"device": "Device"}))

    assert refusal(job) == (
        "steps.parquet: has no column 'device' (the nearest is 'Device'); name another with "
        "--entity"
    )


def test_a_missing_order(job, refusal, steps, save):
    save(steps().drop_columns("second"))

    assert refusal(job).startswith("steps.parquet: has no column 'second' (the nearest is")


def test_a_missing_feature(job, refusal, steps, save):
    save(steps().rename_columns({"feature_1": "feature1"}))

    assert refusal(job) == (
        "steps.parquet: has no column 'feature_1' (the nearest is 'feature1'); the model needs it: "
        "add or rename it in the file"
    )


def test_no_columns_at_all(job, refusal, save):
    save(pa.table({}))

    assert refusal(job).startswith("steps.parquet: has no column 'device'; ")


def test_a_column_that_is_there_twice(job, refusal, steps, save):
    table = steps()
    save(table.append_column("second", table["second"]))

    assert refusal(job) == (
        "steps.parquet: has 2 columns 'second'; keep one of them, or rename the others"
    )


def with_value(steps, column, row, value):
    values = steps()[column].to_pylist()
    values[row] = value
    return steps(**{column: values})


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "missing"), (np.nan, "nan"), (-np.inf, "-inf"), (1e300, "1e+300")],
)
def test_a_feature_that_is_no_finite_number(job, refusal, steps, save, value, shown):
    save(with_value(steps, "feature_2", 5, value))

    assert refusal(job) == (
        "steps.parquet: row 6, column 'feature_2', entity 'b': is "
        f"{shown}; give a finite float32 number, since anything else would stay in the entity's "
        "state for ever"
    )


def test_the_first_bad_feature_of_many_batches_is_named(job, refusal, steps, save):
    table = pa.concat_tables([steps()] * 5000)
    table = table.set_column(1, "second", pa.array(range(40_000)))
    values = table["feature_1"].to_numpy().copy()
    values[[30_002, 39_999]] = np.nan
    save(table.set_column(3, "feature_1", pa.array(values)))

    assert "row 30003, column 'feature_1', entity 'a': is nan" in refusal(job)


@pytest.mark.parametrize(
    ("values", "kind"), [(list("12345678"), "string"), ([True] * 8, "bool"), ([[1.0]] * 8, "list")]
)
def test_a_feature_of_another_type(job, refusal, steps, save, values, kind):
    save(steps(feature_0=values))

    message = refusal(job)
    assert message.startswith(f"steps.parquet: column 'feature_0' is of type {kind}")
    assert message.endswith("; convert it to numbers")


@pytest.mark.parametrize(
    ("column", "values", "wanted"),
    [
        ("device", [[1]] * 8, "texts, numbers or times"),
        ("second", list("12345678"), "numbers or times"),
        ("second", np.arange(8).astype(np.float16), "numbers or times"),
    ],
)
def test_a_key_of_another_type(job, refusal, steps, save, column, values, wanted):
    save(steps(**{column: values}))

    message = refusal(job)
    assert message.startswith(f"steps.parquet: column {column!r} is of type ")
    assert message.endswith(f"; convert it to {wanted}")


@pytest.mark.parametrize(("column", "entity"), [("device", "None"), ("second", "'c'")])
def test_a_missing_key(job, refusal, steps, save, column, entity):
    save(with_value(steps, column, 3, None))

    assert refusal(job) == (
        f"steps.parquet: row 4, column {column!r}, entity {entity}: is missing; "
        "fill it in, or leave the row out"
    )


def test_an_order_that_is_no_number(job, refusal, steps, save):
    save(steps(second=[0.0, 0.0, 1.0, np.nan, 2.0, 5.0, 7.0, 9.0]))

    assert "row 4, column 'second', entity 'c': is nan; fill it in" in refusal(job)


def test_no_rows(job, refusal, steps, save):
    save(steps().slice(0, 0))

    assert refusal(job) == "steps.parquet: has no rows; give a file with one step or more"
