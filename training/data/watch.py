"""The built-in activity set: 140 smartwatch recordings of shoulder exercises.

Owns the fetching and the one-time conversion to Parquet. The recordings come inside a Python
package (seglearn, BSD licence), which is read as a zip file and never installed. They are the
SPAR set of Burns et al. 2018, arXiv 1802.01489.

A row is a packet of 5 samples x 6 channels at 50 Hz, a tenth of a second.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from training.data.packages import bears, download, read_member
from training.files import replacing

REQUIREMENT = "seglearn==1.2.5"
WHEEL_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
SAMPLES_PER_PACKET = 5
# In the order of the recordings' columns: acceleration in g, then rotation in rad/s.
SENSORS = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius row",
    "ROW": "bent-over row",
}
_MEMBER = "seglearn/data/watch_dataset.npy"
# What the file was made from, and by which version of this conversion.
_ORIGIN = {b"statewise.origin": WHEEL_SHA256.encode(), b"statewise.format": b"1"}


def ensure_watch(path: Path) -> bool:
    """Makes the Parquet file where it is missing or was made from something else.

    Args:
        path: the file; columns recording, packet, subject, exercise, and 30 features.

    Returns:
        True where it was made, False where it was there.

    Raises:
        DataError: the package can't be fetched, or is not the one that is expected.
    """
    if bears(path, _ORIGIN):
        return False
    with tempfile.TemporaryDirectory() as folder:
        recordings = read_recordings(_download(Path(folder)))
    table = to_packets(recordings).replace_schema_metadata(_ORIGIN)
    with replacing(path) as temporary:
        pa.parquet.write_table(table, temporary)
    return True


def read_recordings(wheel: Path) -> dict[str, Any]:
    """Reads the package's recordings.

    They are a pickle, which could run any code; it is opened only after the hash of the whole
    package has been compared.

    Returns:
        X: list of (samples, 6); y, subject, side: (recordings,); y_labels: codes of the exercises.

    Raises:
        DataError: the package is not the one that is expected.
    """
    pickled = io.BytesIO(read_member(wheel, WHEEL_SHA256, _MEMBER))
    recordings: dict[str, Any] = np.load(pickled, allow_pickle=True).item()
    return recordings


def to_packets(recordings: dict[str, Any]) -> pa.Table:
    """Cuts recordings into packets, one row each; what is left over at an end is dropped."""
    names = [f"{sensor}_{sample}" for sample in range(SAMPLES_PER_PACKET) for sensor in SENSORS]
    tables = []
    for index, samples in enumerate(recordings["X"]):
        packets = len(samples) // SAMPLES_PER_PACKET
        # (packets, 5 * 6): sample after sample, each with its six channels
        values = samples[: packets * SAMPLES_PER_PACKET].reshape(packets, len(names))
        exercise = EXERCISES[recordings["y_labels"][recordings["y"][index]]]
        subject = int(recordings["subject"][index])
        side = "right" if recordings["side"][index] else "left"
        columns = {
            "recording": [f"s{subject:02d}-{exercise.replace(' ', '-')}-{side}"] * packets,
            "packet": np.arange(packets),
            "subject": np.full(packets, subject),
            "exercise": [exercise] * packets,
        }
        columns |= {name: values[:, i].astype(np.float32) for i, name in enumerate(names)}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _download(folder: Path) -> Path:
    """Fetches the package with pip; returns the wheel's path."""
    return download(REQUIREMENT, folder)
