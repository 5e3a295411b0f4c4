"""Environments of peers; pip is played, but for one that fails."""

import subprocess

import pytest

from benchmarks import environments
from benchmarks.errors import PeerMissingError


@pytest.fixture
def installed(monkeypatch):
    """What pip was asked for, in order; nothing is installed."""
    asked = []

    def run(command, **_):
        asked.append(command[command.index("install") + 2 :])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(environments.subprocess, "run", run)
    monkeypatch.setattr(
        environments.venv, "create", lambda place, **_: place.mkdir(parents=True, exist_ok=True)
    )
    return asked


def test_an_environment_is_made_once(installed, tmp_path):
    first = environments.python_of("peer", ("a==1", "b==2"), tmp_path)
    assert environments.python_of("peer", ("a==1", "b==2"), tmp_path) == first
    assert first == str(tmp_path / "peer" / "bin" / "python")
    assert installed == [["a==1", "b==2"]]


def test_other_versions_make_it_again(installed, tmp_path):
    environments.python_of("peer", ("a==1",), tmp_path)
    environments.python_of("peer", ("a==2",), tmp_path)
    assert installed == [["a==1"], ["a==2"]]


def test_a_peer_that_pip_can_t_install_is_missing_and_tried_again(tmp_path, capfd):
    for _ in range(2):
        with pytest.raises(PeerMissingError, match=r"^peer is left out: .*nowhere"):
            environments.python_of("peer", (str(tmp_path / "nowhere"),), tmp_path)
    assert capfd.readouterr().err.count("peer: installing") == 2
