from pathlib import Path

import numpy as np
import pytest

from training.data import watch
from training.data.watch import ensure_watch, read_recordings, to_packets
from training.errors import DataError


def recordings() -> dict:
    """Two recordings of 23 and 10 samples, in the form of the package."""
    draw = np.random.default_rng(1)
    return {
        "X": [draw.normal(size=(23, 6)), draw.normal(size=(10, 6))],
        "y": np.array([1, 0]),
        "y_labels": ["PEN", "ER"],
        "subject": np.array([7, 10]),
        "side": np.array([1.0, 0.0]),
    }


def test_packets_keep_every_sample_in_order() -> None:
    source = recordings()
    table = to_packets(source)
    assert table.num_rows == 4 + 2
    assert table.column_names[:4] == ["recording", "packet", "subject", "exercise"]
    assert len(table.column_names) == 4 + 30
    rows = table.to_pylist()
    assert [row["recording"] for row in rows[3:5]] == [
        "s07-external-rotation-right",
        "s10-pendulum-left",
    ]
    assert [row["packet"] for row in rows] == [0, 1, 2, 3, 0, 1]
    assert rows[0]["exercise"] == "external rotation"
    for sample in range(5):
        for channel, sensor in enumerate(watch.SENSORS):
            expected = np.float32(source["X"][0][2 * 5 + sample, channel])
            assert rows[2][f"{sensor}_{sample}"] == expected


def test_another_package_is_not_opened(tmp_path: Path) -> None:
    wheel = tmp_path / "seglearn.whl"
    wheel.write_bytes(b"anything else")
    with pytest.raises(DataError, match=r"seglearn\.whl: sha256 is .*, expected ec6b952c"):
        read_recordings(wheel)


def test_the_file_is_made_once_and_again_when_it_is_not_ours(tmp_path: Path, monkeypatch) -> None:
    fetched = []

    def download(folder: Path) -> Path:
        fetched.append(folder)
        return folder / "seglearn.whl"

    monkeypatch.setattr(watch, "_download", download)
    monkeypatch.setattr(watch, "read_recordings", lambda wheel: recordings())
    path = tmp_path / "data" / "watch.parquet"
    assert ensure_watch(path)
    made = path.read_bytes()
    assert not ensure_watch(path)
    path.write_bytes(made[:100])
    assert ensure_watch(path)
    assert path.read_bytes() == made
    assert len(fetched) == 2


def test_pip_without_an_index_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DataError, match=r"pip could not fetch seglearn==1\.2\.5: ") as raised:
        ensure_watch(tmp_path / "watch.parquet")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
