"""Which versions a config.pbtxt wants, and what is wrong with one that wants none."""

import pytest

from service.artifacts.repository import scan
from service.artifacts.versions import wanted
from service.errors import ArtifactError


def put(root, *versions, name="pump", policy=None):
    for version in versions:
        path = root / name / str(version) / "model.onnx"
        path.parent.mkdir(parents=True)
        path.touch()
    if policy is not None:
        (root / name / "config.pbtxt").write_text(f"version_policy {{ {policy} }}")


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (None, [2, 9, 10, 11]),
        ("", [2, 9, 10, 11]),
        ("all {}", [2, 9, 10, 11]),
        ("latest { num_versions: 1 }", [11]),
        ("latest { num_versions: 3 }", [9, 10, 11]),
        ("latest { num_versions: 30 }", [2, 9, 10, 11]),
        ("specific { versions: [ 10, 2 ] }", [2, 10]),
        ("specific { versions: [ 9, 9 ] }", [9]),
    ],
)
def test_the_policy_says_which(tmp_path, policy, served):
    put(tmp_path, 10, 9, 2, 11, policy=policy)
    assert [entry.version for entry in wanted(scan(tmp_path))] == served


def test_each_model_has_its_own(tmp_path):
    put(tmp_path, 1, 2, name="fan")
    put(tmp_path, 1, 2, policy="latest { num_versions: 1 }")
    found = [(entry.name, entry.version) for entry in wanted(scan(tmp_path))]
    assert found == [("fan", 1), ("fan", 2), ("pump", 2)]


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ("latest { num_versions: 0 }", "num_versions is 0; take 1 or more"),
        ("latest {}", "num_versions is 0; take 1 or more"),
        ("latest { num_versions: -1 }", "config.pbtxt: .*num_versions"),
        ("specific {}", "specific names no version; name one or more"),
        (
            "specific { versions: [ 1, 7 ] }",
            r"version 7 is not there, of 1, 2; add .*pump/7/model.onnx, or leave it out",
        ),
        ("specific { versions: [ -1 ] }", "version -1 is not there"),
        ("newest {}", "config.pbtxt: .*newest"),
    ],
)
def test_a_policy_that_nobody_can_follow_is_one_line(tmp_path, policy, fault):
    put(tmp_path, 1, 2, policy=policy)
    with pytest.raises(ArtifactError, match=fault) as error:
        wanted(scan(tmp_path))
    assert "\n" not in error.value.message
