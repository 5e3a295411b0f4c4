"""The whole path, from a table to the verdict, on data that is quick to learn."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.__main__ import main

_CONFIG = """
name = "easy"
steps_per_second = 10

[data]
path = "{path}"
entity = "machine"
order = "minute"
target = "mode"

[data.features]
"sensor_*" = "V"

[network]
hidden = 12
reset_after = {reset_after}

[training]
epochs = 12
batches_per_epoch = 15
lanes = 16
crop_steps = 16
learning_rate = 2e-2
"""


def write_table(path: Path) -> None:
    """Twelve machines, each in one of three modes that a single reading nearly gives away."""
    random = np.random.default_rng(1)
    tables = []
    for machine in range(12):
        mode, minutes = machine % 3, 60 + machine
        sensors = random.normal(np.eye(3)[mode] * 4, 1.0, (minutes, 3))
        columns = {
            "machine": [f"m{machine}"] * minutes,
            "minute": np.arange(minutes),
            "mode": [("idle", "run", "clean")[mode]] * minutes,
        }
        columns |= {f"sensor_{index}": sensors[:, index] for index in range(3)}
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables), path)


@pytest.mark.parametrize("reset_after", [False, True])
def test_from_a_table_to_the_verdict(tmp_path, capfd, reset_after):
    table, config, out = tmp_path / "easy.parquet", tmp_path / "easy.toml", tmp_path / "run"
    write_table(table)
    config.write_text(_CONFIG.format(path=table, reset_after=str(reset_after).lower()))
    code = main(["--config", str(config), "--out", str(out)])
    printed = capfd.readouterr()
    assert code == 0, printed.out + printed.err
    verdict = printed.out.partition("6. the verdict")[2]
    assert verdict.count(" ok") == 4
    assert "FALLS SHORT" not in verdict
    for name in ("model.onnx", "loss.png", "confusion.png", "validation.png", "scored.parquet"):
        assert (out / name).stat().st_size > 0


def test_a_step_that_fails_ends_the_demo_with_its_own_words(tmp_path, capfd):
    config = tmp_path / "broken.toml"
    config.write_text(_CONFIG.format(path=tmp_path / "absent.parquet", reset_after="false"))
    assert main(["--config", str(config), "--out", str(tmp_path / "run")]) == 1
    errors = capfd.readouterr().err
    assert "absent.parquet" in errors
    assert "`python -m training fit" in errors
    assert "Traceback" not in errors


def test_a_configuration_that_can_not_be_read_is_a_mistake_of_its_user(tmp_path, capfd):
    assert main(["--config", str(tmp_path / "absent.toml"), "--out", str(tmp_path)]) == 2
    assert capfd.readouterr().err.startswith("error: config ")
