"""What the tests of training share: one thread, random networks, and small tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from training.reference import Layer, Network

MakeNetwork = Callable[..., Network]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_network() -> MakeNetwork:
    """A network of random weights; without bias, its biases are zeros."""

    def make(
        *,
        layers: int = 1,
        reset_after: bool = False,
        bias: bool = True,
        features: int = 2,
        hidden: int = 3,
        outputs: int = 2,
        seed: int = 0,
        activation: str = "softmax",
    ) -> Network:
        draw = np.random.default_rng(seed)

        def biases(count: int) -> list[np.ndarray]:
            return [draw.normal(size=hidden) * bias for _ in range(count)]

        def layer(width: int) -> Layer:
            w_z, w_r, w_c = draw.normal(size=(3, hidden, width)) * 0.7
            u_z, u_r, u_c = draw.normal(size=(3, hidden, hidden)) * 0.7
            b_z, b_r, b_c, d_c = biases(4)
            d_c = d_c * reset_after
            return Layer(w_z, w_r, w_c, u_z, u_r, u_c, b_z, b_r, b_c, d_c)

        widths = [features] + [hidden] * (layers - 1)
        return Network(
            layers=tuple(layer(width) for width in widths),
            reset_after=reset_after,
            bias=bias,
            input_mean=draw.normal(size=features),
            input_scale=draw.uniform(0.5, 2.0, size=features),
            head_weight=draw.normal(size=(outputs, hidden)),
            head_bias=draw.normal(size=outputs),
            activation=activation,  # type: ignore[arg-type]
            output_mean=draw.normal(size=outputs),
            output_scale=draw.uniform(0.5, 2.0, size=outputs),
        )

    return make


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    """A table of six sequences of different lengths, whose class is the sign of their slope.

    Columns: who, when, level, slope, noise, kind.
    """
    draw = np.random.default_rng(3)
    tables = []
    for index in range(6):
        steps = 40 + 7 * index
        level = np.cumsum(draw.normal(size=steps))
        slope = np.diff(level, prepend=0.0)
        tables.append(
            pa.table(
                {
                    "who": [f"s{index}"] * steps,
                    "when": np.arange(steps) * 10,
                    "level": level,
                    "slope": slope,
                    "noise": draw.normal(size=steps),
                    "kind": np.where(slope > 0, "up", "down"),
                }
            )
        )
    path = tmp_path / "waves.parquet"
    pa.parquet.write_table(pa.concat_tables(tables), path)
    return path


@pytest.fixture
def small_config(waves: Path, tmp_path: Path) -> Path:
    """A configuration on `waves` that fits in a second or two."""
    path = tmp_path / "small.toml"
    path.write_text(
        f"""
        name = "slopes"
        seed = 5
        steps_per_second = 2.5
        data = {{ path = "{waves}", entity = "who", order = "when", target = "kind", \
features = {{ slope = "m/s", "lev*" = "m" }} }}
        network = {{ hidden = 6 }}
        [training]
        epochs = 4
        batches_per_epoch = 20
        lanes = 8
        crop_steps = 30
        learning_rate = 0.02
        """
    )
    return path
