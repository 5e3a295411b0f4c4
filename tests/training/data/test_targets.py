"""Targets that are numbers or labels, may be missing, and may be weighted."""

from pathlib import Path

import numpy as np
import pytest

from training.config import DataConfig, SplitConfig
from training.data.load import load_dataset
from training.data.scaling import fit_target_scaling
from training.data.sequences import Dataset
from training.data.splits import check_targets, split_by_time
from training.errors import DataError

CSV = """who,when,x,a,b,w
s,1,0.5,1,0,1
s,2,0.7,,1,0.5
s,3,0.9,0,1,0
s,4,0.2,1,,2
"""


def load(
    tmp_path: Path, kind: str, text: str = CSV, target=("a", "b"), weight: str = ""
) -> Dataset:
    path = tmp_path / "t.csv"
    path.write_text(text)
    units = {"a": "m"} if kind == "regression" else {}
    return load_dataset(
        DataConfig(str(path), "who", "when", target, {"x": ""}, kind, units, weight)
    )


@pytest.mark.parametrize("kind", ["regression", "labels"])
def test_empty_cells_are_missing(tmp_path: Path, kind: str) -> None:
    dataset = load(tmp_path, kind, weight="w")
    (sequence,) = dataset.sequences
    expected = [[1, 0], [np.nan, 1], [0, 1], [1, np.nan]]
    np.testing.assert_array_equal(sequence.targets, np.array(expected, np.float32))
    assert sequence.weights is not None
    assert sequence.weights.tolist() == [1, 0.5, 0, 2]
    assert dataset.labels == ("a", "b")
    assert dataset.units == (("m", "") if kind == "regression" else ())


def test_a_class_may_be_missing(tmp_path: Path) -> None:
    (sequence,) = load(tmp_path, "class", target="a").sequences
    assert sequence.targets.tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("regression", "0.5,1,0", "0.5,inf,0", r"column 'a', row 1 \(who s\): inf is not a finite"),
        ("regression", "0.5,1,0", "0.5,nan,0", r"column 'a', row 1 \(who s\): nan is not a finite"),
        ("regression", "0.9,0", "0.9,much", r"column 'a', row 3 \(who s\): 'much' is not a number"),
        ("labels", "0.9,0", "0.9,2", r"column 'a', row 3 \(who s\): 2.0 must be 0, 1 or empty"),
        ("labels", "0,1\n", "0,-1\n", r"column 'w', row 1 \(who s\): -1.0 is a weight below 0"),
        ("labels", "0,1\n", "0,\n", r"column 'w', row 1 \(who s\): the cell is empty"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, kind: str, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, kind, CSV.replace(old, new, 1), weight="w")


@pytest.mark.parametrize("kind", ["class", "regression", "labels"])
def test_a_column_without_any_target_is_refused(tmp_path: Path, kind: str) -> None:
    empty = "who,when,x,a\ns,1,0.5,\ns,2,0.7,\n"
    with pytest.raises(DataError, match="target column 'a' is empty in every row"):
        load(tmp_path, kind, empty, target="a")


def test_a_part_without_targets_is_refused(tmp_path: Path) -> None:
    dataset = load(tmp_path, "regression", "who,when,x,a\ns,1,5,1\ns,2,6,2\ns,3,7,\ns,4,8,\n", "a")
    split = split_by_time(dataset, SplitConfig("time", 0.25, 0.25))
    with pytest.raises(DataError, match="the validation part has no target that counts"):
        check_targets(split)


def test_target_scaling_skips_what_is_missing(tmp_path: Path) -> None:
    dataset = load(tmp_path, "regression")
    scaling = fit_target_scaling(dataset.sequences, dataset.labels)
    np.testing.assert_allclose(scaling.mean, [2 / 3, 2 / 3], rtol=1e-6)
    constant = load(tmp_path, "regression", CSV.replace("0.9,0", "0.9,1"))
    with pytest.raises(DataError, match=r"target 'a' is always 1\.0 in the training part"):
        fit_target_scaling(constant.sequences, constant.labels)
