"""From file to file, on the engine that serves."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from service.artifacts import artifact
from service.models import selftest
from service.offline.job import Job
from service.offline.score import score
from service.runtime.engine import Engine
from training.reference import forward


def answers_of(table, channels=4):
    return np.stack([table[f"output_{number}"].to_numpy() for number in range(channels)], axis=1)


def features_of(table):
    columns = [table[f"feature_{number}"].to_numpy() for number in range(3)]
    return np.stack(columns, axis=1).astype(np.float32)


def by_entity(table):
    """Rows of each entity, in the file's order."""
    devices = np.array(table["device"].to_pylist())
    return [np.flatnonzero(devices == device) for device in np.unique(devices)]


def in_order(table):
    """The same rows, sorted as an output is."""
    kind = table.schema.field("device").type
    if pa.types.is_dictionary(kind) or pa.types.is_string_view(kind):
        table = table.set_column(0, "device", table["device"].cast(pa.string()))
    return table.sort_by([("device", "ascending"), ("second", "ascending")])


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    max_batch=st.integers(1, 9),
    seed=st.integers(0, 999),
    as_csv=st.booleans(),
)
def test_an_entity_gets_the_bits_that_it_gets_alone(
    lengths, max_batch, seed, as_csv, regressor, save, tmp_path
):
    random = np.random.default_rng(seed)
    device = random.permutation(np.repeat([f"d{i}" for i in range(len(lengths))], lengths))
    table = pa.table(
        {
            "device": device,
            "second": np.cumsum(random.uniform(0.1, 1, len(device))),
            **{f"feature_{i}": random.normal(size=len(device)) for i in range(3)},
        }
    )
    path = save(table, "steps.csv" if as_csv else "steps.parquet")
    output = tmp_path / "answers.parquet"

    score(Job(regressor.path, path, output, "device", "second", max_batch=max_batch))

    scored, table = parquet.read_table(output), in_order(table)
    assert scored["device"].equals(table["device"])
    for rows in by_entity(table):
        expected = regressor.alone(features_of(table)[rows])
        assert answers_of(scored)[rows].tobytes() == expected.tobytes()


def test_answers_are_the_references(regressor, steps, save, tmp_path):
    table = in_order(steps())
    output = tmp_path / "answers.parquet"

    score(Job(regressor.path, save(table), output, "device", "second"))

    answers = answers_of(parquet.read_table(output))
    for rows in by_entity(table):
        inputs = features_of(table)[rows].astype(np.float64)
        expected = forward(regressor.network, inputs[:, np.newaxis]).outputs[:, 0]
        # float32 against float64 over a few steps of values about 1.
        np.testing.assert_allclose(answers[rows], expected, rtol=0, atol=1e-5)


@pytest.fixture
def scored(classifier, steps, save, tmp_path):
    output = tmp_path / "made" / "answers.parquet"
    summary = score(Job(classifier.path, save(steps(note=["x"] * 8)), output, "device", "second"))
    return summary, parquet.read_table(output)


def test_the_output_has_the_keys_the_answers_and_the_winner(scored, steps):
    _, table = scored
    channels = [f"output_{number}" for number in range(4)]

    assert table.column_names == ["device", "second", *channels, "predicted"]
    assert table.select(["device", "second"]).equals(in_order(steps()).select(["device", "second"]))
    assert {table.schema.field(channel).type for channel in channels} == {pa.float32()}
    winners = answers_of(table).argmax(axis=1)
    assert table["predicted"].to_pylist() == [f"output_{winner}" for winner in winners]
    assert len(set(winners)) > 1


def test_the_summary_counts(scored):
    summary, _ = scored

    assert (summary.tally.entities, summary.tally.rows) == (3, 8)
    assert str(summary).startswith("scored  8 rows of 3 entities\nrate    ")


def test_the_output_says_what_made_it(scored, classifier):
    loaded = artifact.load(classifier.path)
    proof = selftest.replay(Engine(loaded, provider="cpu", max_batch=2))

    assert scored[1].schema.metadata == {
        b"statewise.model": b"classifier",
        b"statewise.content_digest": loaded.digest.encode(),
        b"statewise.numeric_fingerprint": proof.fingerprint.encode(),
        b"statewise.provider": b"cpu",
    }


def test_a_regressor_has_no_winner(regressor, steps, save, tmp_path):
    output = tmp_path / "answers.parquet"

    score(Job(regressor.path, save(steps()), output, "device", "second"))

    assert "predicted" not in parquet.read_schema(output).names


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("device", pa.array(list("abacabba")).dictionary_encode()),
        ("device", pa.array(list("abacabba"), pa.string_view())),
        ("device", pa.array([1, 2, 1, 3, 1, 2, 2, 1])),
        ("device", pa.array([1.5, 2, 1.5, 3, 1.5, 2, 2, 1.5])),
        ("second", pa.array(range(8), pa.timestamp("ns", "UTC"))),
        ("second", pa.array(range(8), pa.date32())),
        ("second", pa.array(np.arange(8) / 4).cast(pa.decimal128(9, 2))),
        ("feature_0", pa.array(range(8), pa.int8())),
        ("feature_0", pa.array(range(2**62, 2**62 + 8))),
        ("feature_0", pa.array(np.arange(8) / 4).cast(pa.decimal128(9, 2))),
        ("feature_0", pa.array(np.arange(8) / 4, pa.float16())),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else value,
)
def test_columns_of_many_types(regressor, steps, save, tmp_path, column, values):
    table = steps(**{column: values})
    output = tmp_path / "answers.parquet"

    score(Job(regressor.path, save(table), output, "device", "second"))

    scored, table = parquet.read_table(output), in_order(table)
    if column == "second":
        assert scored["second"].equals(table["second"])
    for rows in by_entity(table):
        features = np.stack(
            [np.array(table[f"feature_{i}"].to_pylist(), np.float32) for i in range(3)], axis=1
        )
        expected = regressor.alone(features[rows])
        assert answers_of(scored)[rows].tobytes() == expected.tobytes()


def test_dictionaries_of_their_own_do_not_mix_entities_up(regressor, steps, save, tmp_path):
    first, second = steps(), steps(device=list("cccccccc"), second=list(range(10, 18)))
    parts = [
        part.set_column(0, "device", part["device"].dictionary_encode()) for part in (first, second)
    ]
    path, output = tmp_path / "steps.parquet", tmp_path / "answers.parquet"
    with parquet.ParquetWriter(path, parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)

    summary = score(Job(regressor.path, path, output, "device", "second"))

    assert summary.tally.entities == 3


@pytest.mark.parametrize("other", ["7", "NA"])
def test_entities_of_a_csv_are_text(regressor, steps, save, tmp_path, other):
    table = steps(device=["007", other, "007", "8", "007", other, other, "007"])
    output = tmp_path / "answers.parquet"

    summary = score(Job(regressor.path, save(table, "s.csv"), output, "device", "second"))

    assert summary.tally.entities == 3
    assert parquet.read_table(output)["device"].equals(in_order(table)["device"])


@pytest.mark.parametrize("name", ["steps.parquet", "steps.csv"])
def test_columns_are_found_by_name_wherever_they_stand(regressor, steps, save, tmp_path, name):
    output, table = tmp_path / "answers.parquet", steps()
    scored = []
    for columns in (table.column_names, table.column_names[::-1]):
        score(Job(regressor.path, save(table.select(columns), name), output, "device", "second"))
        scored.append(parquet.read_table(output))

    assert scored[0].equals(scored[1])


def test_more_rows_than_a_row_group(regressor, tmp_path):
    rows = 140_000
    features = np.random.default_rng(3).normal(size=(rows, 3)).astype(np.float32)
    path, output = tmp_path / "steps.parquet", tmp_path / "answers.parquet"
    columns = {f"feature_{i}": features[:, i] for i in range(3)}
    entity, second = np.divmod(np.arange(rows), 100)
    parquet.write_table(pa.table({"device": entity, "second": second, **columns}), path)

    score(Job(regressor.path, path, output, "device", "second"))

    assert parquet.read_metadata(output).num_row_groups == 2
    scored = parquet.read_table(output)
    assert scored["device"].to_numpy().tobytes() == entity.tobytes()
    last = slice(rows - 100, rows)
    assert answers_of(scored)[last].tobytes() == regressor.alone(features[last]).tobytes()


def test_a_models_folder_means_its_newest_version(classifier, regressor, steps, save, tmp_path):
    models = tmp_path / "models"
    for version, model in (("9", classifier), ("10", regressor)):
        (models / "activity" / version).mkdir(parents=True)
        shutil.copy(model.path, models / "activity" / version)
    output = tmp_path / "answers.parquet"
    job = Job(models / "activity", save(steps()), output, "device", "second")

    score(job)
    assert parquet.read_schema(output).metadata[b"statewise.model"] == b"regressor"

    policy = models / "activity" / "config.pbtxt"
    policy.write_text("version_policy { specific { versions: [ 9 ] } }")
    score(job)
    assert parquet.read_schema(output).metadata[b"statewise.model"] == b"classifier"

    policy.unlink()
    score(replace(job, model=models / "activity" / "9" / "model.onnx"))
    assert parquet.read_schema(output).metadata[b"statewise.model"] == b"classifier"
