"""States from one score to the next: the same bits as one score of everything."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from service.errors import TableError
from service.offline import preparation
from service.offline.score import score


def table_of(lengths, seed):
    random = np.random.default_rng(seed)
    entities = np.repeat([f"d{number:03}" for number in range(len(lengths))], lengths)
    order = np.concatenate([np.arange(length) for length in lengths])
    values = random.normal(size=(len(entities), 3))
    columns = {f"feature_{i}": values[:, i] for i in range(3)}
    return pa.table({"device": entities, "second": order, **columns})


def sorted_rows(*tables):
    return pa.concat_tables(tables).sort_by([("device", "ascending"), ("second", "ascending")])


def day(job, table, save, name, **changes):
    """Scores a day; its answers."""
    job = replace(job, input=save(table, f"{name}.parquet"), **changes)
    score(replace(job, output=job.output.with_name(f"{name}.answers.parquet")))
    return parquet.read_table(job.output.with_name(f"{name}.answers.parquet"))


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=10),
    window=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_days_one_by_one_give_the_bits_of_all_at_once(job, save, lengths, window, seed):
    table, random = table_of(lengths, seed), np.random.default_rng(seed)
    # Some entities are silent on some days, and on all days some have begun before.
    bounds = {f"d{i:03}": np.sort(random.integers(0, n + 1, 2)) for i, n in enumerate(lengths)}
    cuts = np.array([bounds[name] for name in table["device"].to_pylist()])
    of_day = (table["second"].to_numpy()[:, np.newaxis] >= cuts).sum(axis=1)
    folder, answers = job.output.parent, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "window_rows", lambda job, model: window)
        everything = day(job, table, save, "all", state_out=folder / "all.parquet.states.parquet")
        before = None
        for number in range(3):
            part = table.filter(pa.array(of_day == number))
            if len(part) == 0:
                continue
            after = folder / f"states{number}.parquet"
            answers.append(day(job, part, save, f"day{number}", state_in=before, state_out=after))
            before = after

    assert sorted_rows(*answers).equals(everything)
    ends = [parquet.read_table(path) for path in (before, folder / "all.parquet.states.parquet")]
    assert ends[0].sort_by("entity").equals(ends[1].sort_by("entity"))


@pytest.fixture
def monday(job, steps, save):
    """States of the steps, and the job of the day after."""
    states = job.output.with_name("monday.parquet")
    score(replace(job, input=save(steps()), output=states.with_stem("all"), state_out=states))
    return replace(job, state_in=states)


def test_the_file_of_states_has_a_row_an_entity(monday, steps):
    states = parquet.read_table(monday.state_in)

    assert states.select(["entity", "order", "steps"]).to_pylist() == [
        {"entity": "a", "order": 9, "steps": 4},
        {"entity": "b", "order": 7, "steps": 3},
        {"entity": "c", "order": 0, "steps": 1},
    ]
    assert states.schema.metadata[b"statewise.model"] == b"classifier"


def test_a_step_that_comes_too_late_is_refused(monday, refusal, steps, save):
    save(steps(second=[19, 20, 21, 22, 23, 7, 25, 26]))

    assert refusal(monday) == (
        "steps.parquet: row 6, column 'second', entity 'b': is 7, but steps up to 7 are in the "
        "states already; leave the row out, or score from the beginning"
    )


def test_a_step_that_comes_too_late_goes_to_quarantine(monday, steps, save):
    save(steps(second=[10, 20, 21, 22, 23, 7, 25, 26]))

    summary = score(replace(monday, on_error="quarantine"))

    assert parquet.read_table(monday.rejected_path)["row"].to_pylist() == [6]
    assert summary.tally.rows == 7


def test_an_entity_that_is_left_out_keeps_its_state(monday, steps, save):
    save(steps(second=[10, 20, 21, 22, 23, 7, 25, 26]))
    tuesday = monday.output.with_name("tuesday.parquet")

    score(replace(monday, on_error="skip-entity", state_out=tuesday))

    before, after = (
        {row["entity"]: row for row in parquet.read_table(path).to_pylist()}
        for path in (monday.state_in, tuesday)
    )
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]


def test_states_of_another_model_are_refused(monday, regressor, steps, save, refusal):
    save(steps(second=range(10, 18)))

    message = refusal(replace(monday, model=regressor.path))
    assert message.startswith(f"{monday.state_in.name}: column 'state', entity 'a': the state is ")
    assert message.endswith("; give the states that this model has left")


def test_states_of_other_keys_are_refused(monday, refusal, steps, save):
    save(steps(device=[1, 2, 1, 3, 1, 2, 2, 1], second=list(range(10, 18))))

    assert "column 'entity' is of type string, and int64 in the input" in refusal(monday)


@pytest.mark.parametrize("content", [b"no table", None])
def test_a_file_that_holds_no_states(monday, refusal, steps, save, content):
    save(steps())
    if content is None:
        parquet.write_table(steps(), monday.state_in)
        assert "a file of states has entity, order, steps, state" in refusal(monday)
    else:
        monday.state_in.write_bytes(content)
        assert "can't be read as Parquet" in refusal(monday)


def test_states_may_not_be_written_over(monday):
    with pytest.raises(TableError, match="is the file of states to begin with too"):
        replace(monday, state_out=monday.state_in)
