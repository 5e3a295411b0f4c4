from pathlib import Path

import pytest

from service.artifacts.repository import scan
from service.errors import ArtifactError


def put(root, *parts):
    path = root.joinpath(*parts)
    path.parent.mkdir(parents=True)
    path.touch()


def test_finds_every_version_in_numeric_order(tmp_path):
    for version in ("2", "10", "1"):
        put(tmp_path, "beta", version, "model.onnx")
    put(tmp_path, "alpha", "3", "model.onnx")
    found = [(entry.name, entry.version) for entry in scan(tmp_path)]
    assert found == [("alpha", 3), ("beta", 1), ("beta", 2), ("beta", 10)]


def test_folders_that_are_no_version_are_passed_over(tmp_path):
    put(tmp_path, "alpha", "1", "model.onnx")
    put(tmp_path, "alpha", "0", "model.onnx")
    put(tmp_path, "alpha", "draft", "model.onnx")
    put(tmp_path, "alpha", "2", "notes.txt")
    assert [entry.version for entry in scan(tmp_path)] == [1]


def test_an_empty_or_missing_repository_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ArtifactError, match="no model in it; write one to"):
        scan(tmp_path)
    with pytest.raises(ArtifactError, match="no such folder"):
        scan(tmp_path / "absent")


def test_one_version_in_two_folders_is_refused(tmp_path):
    put(tmp_path, "alpha", "1", "model.onnx")
    put(tmp_path, "alpha", "01", "model.onnx")
    with pytest.raises(ArtifactError, match=r"alpha/01 and .*/1 are both version 1"):
        scan(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(tmp_path, "alpha", "1", "model.onnx")

    def denied(folder):
        if folder.name == "alpha":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ArtifactError, match=r"alpha can't be read: Permission denied; give this"):
        scan(tmp_path)
