"""The compiled loops' build: once, whole, and not where it can't be."""

import logging
from pathlib import Path

import pytest
import torch

from training.kernels.choice import choose_loops
from training.kernels.library import find_library
from training.kernels.loops import TorchLoops


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    find_library.cache_clear()
    yield
    find_library.cache_clear()


def test_a_second_process_finds_what_the_first_built(tmp_path: Path) -> None:
    assert find_library() is not None
    (built,) = (tmp_path / "statewise").iterdir()
    before = built.stat()
    find_library.cache_clear()
    assert find_library() is not None
    assert [*(tmp_path / "statewise").iterdir()] == [built]
    assert built.stat().st_mtime_ns == before.st_mtime_ns


def test_without_a_compiler_torch_operations_take_its_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with caplog.at_level(logging.INFO):
        assert isinstance(choose_loops(torch.zeros(1)), TorchLoops)
    assert "no C++ compiler" in caplog.text


def test_a_compiler_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "false")
    assert isinstance(choose_loops(torch.zeros(1)), TorchLoops)
    assert "false could not build them" in caplog.text
    assert not [*tmp_path.rglob("*.so")]
