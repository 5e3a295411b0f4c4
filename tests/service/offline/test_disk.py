"""Disks that are full."""

import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from disks import small_disk

from service.errors import TableError
from service.offline.score import score

ROWS, LEFT = 20_000, 300_000


@pytest.fixture
def disk(tmp_path):
    """A disk that has some room, but not for the answers."""
    with small_disk(tmp_path / "disk") as folder:
        facts = os.statvfs(folder)
        (folder / "others").write_bytes(bytes(facts.f_bavail * facts.f_frsize - LEFT))
        yield folder


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_full_disk_is_told_of_in_one_line(job, disk, save, workers, mixed, capfd):
    random = np.random.default_rng(4)
    order = random.permutation(ROWS) if mixed else np.arange(ROWS)
    features = {f"feature_{i}": random.normal(size=ROWS) for i in range(3)}
    save(pa.table({"device": order // 100, "second": order % 100, **features}))
    job = replace(job, output=disk / "answers.parquet", workers=workers)

    with pytest.raises(TableError) as caught:
        score(job)

    message = str(caught.value)
    assert "No space left on device; " in message
    assert message.endswith(("name another", "name an output elsewhere"))
    assert "Traceback" not in capfd.readouterr().err
    (disk / "others").unlink()
    assert score(replace(job, resume=True)).tally.rows == ROWS
    assert [path.name for path in disk.iterdir()] == ["answers.parquet"]
