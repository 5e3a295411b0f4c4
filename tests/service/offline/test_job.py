"""Jobs that can't be done."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import ArtifactError, SettingsError, TableError
from service.offline.score import score


def test_answers_that_are_no_numbers(job, refusal, steps, save, overflowing):
    large = [1.0] * 6 + [3e38, 1.0]
    save(steps(feature_0=large, feature_1=large, feature_2=large))

    assert refusal(replace(job, model=overflowing.path)) == (
        "steps.parquet: row 7, column 'output_0', entity 'b': the model answers "
        "nan to finite features; check their scale against the training data"
    )


@pytest.mark.parametrize("name", ["output_1", "predicted", "device"])
def test_names_that_would_clash_in_the_output(job, refusal, steps, save, name):
    save(steps(**{name: list("abacabba") if name == "device" else list(range(8))}))

    message = refusal(replace(job, order=name))
    assert message.startswith(f"answers.parquet: column {name!r} would be both --")
    assert message.endswith("; rename one of them")


def test_a_feature_may_be_the_order_too(job, steps, save):
    save(steps(feature_0=list(range(8))))

    assert score(replace(job, order="feature_0")).tally.rows == 8


def test_an_output_that_is_the_input(job):
    with pytest.raises(TableError, match=r"steps.parquet: is the input too; write to another file"):
        replace(job, output=job.output.parent / "." / "steps.parquet")


def test_an_output_that_is_no_parquet(job):
    with pytest.raises(TableError, match=r"answers.csv: ends in '.csv'; the output is Parquet"):
        replace(job, output=Path("answers.csv"))


def test_an_output_that_is_a_folder(job, tmp_path):
    (tmp_path / "folder.parquet").mkdir()

    with pytest.raises(TableError, match=r"folder.parquet: is a folder; name a file in it"):
        replace(job, output=tmp_path / "folder.parquet")


def test_an_output_below_a_file(job, steps, save, tmp_path):
    output = save(steps()) / "answers.parquet"

    with pytest.raises(TableError, match=r"answers.parquet: can't be written: .*; name another"):
        score(replace(job, output=output))


@pytest.mark.parametrize("max_batch", [0, 65_537])
def test_a_batch_out_of_range(job, max_batch):
    with pytest.raises(SettingsError, match=f"max_batch is {max_batch}; take a value from 1 to"):
        replace(job, max_batch=max_batch)


def test_a_folder_without_a_model(job, refusal, classifier, tmp_path):
    empty = tmp_path / "models" / "empty"
    empty.mkdir(parents=True)
    assert "models/empty: has no <version>/model.onnx" in refusal(
        replace(job, model=empty), ArtifactError
    )

    shutil.copytree(classifier.path.parents[1], tmp_path / "models" / "other")
    assert refusal(replace(job, model=empty), ArtifactError) == (
        "models/empty: has no <version>/model.onnx; give a model.onnx, or a model's folder"
    )
