"""The command `python -m demo`: the whole path on real data, with a verdict.

Owns the order of the steps. Every step is one of the project's own commands, and can be run by
itself as printed.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo.commands import DemoError, run, server
from demo.live import LiveRun, stream_all
from demo.tails import Columns, Tails, read_outputs, read_tails
from demo.verdict import judge, table
from training.checkpoint import load_trained
from training.reference import Array, Network, forward

_CONFIG = Path("training/configs/activity.toml")
_MODEL = "activity"
_COLUMNS = Columns(entity="recording", order="packet", target="exercise")
_DESCRIPTION = """\
Fetches 140 smartwatch recordings, trains a GRU on their first 70%, exports and proves it, serves
it, streams all 140 held-out tails at once, scores the same tails in a batch, and compares. Exits
0 where every figure is reached, 1 where one falls short or a step fails.

example:
  python -m demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="(runs/demo)")
    out: Path = parser.parse_args(arguments).out
    started = time.perf_counter()
    try:
        held = _demo(out)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{out}/ holds the model, the curves and the tables; {_minutes(started)} in all")
    return 0 if held else 1


def _demo(out: Path) -> bool:
    """Runs every step; True where every figure holds."""
    model = out / "model.onnx"
    tails_path, scored_path = out / "tails.parquet", out / "scored.parquet"
    run("1. fetch the recordings and convert them, once", "training", "data", "watch")
    run("2. train", "training", "fit", "--config", _CONFIG, "--out", out, "--force")
    run("3. export and prove", "export", "--run", out, "--out", model)
    run("   the held-out tails", "training", "data", "tails", "--run", out, "--out", tails_path)

    network = load_trained(out)
    features = tuple(channel.name for channel in network.features)
    tails = read_tails(tails_path, _COLUMNS, features)
    live = _stream(out, model, tails)
    run(
        "5. score the same tails in a batch",
        *("service", "score", "--model", model, "--input", tails_path, "--output", scored_path),
        *("--entity", _COLUMNS.entity, "--order", _COLUMNS.order),
    )
    scored = read_outputs(scored_path, _COLUMNS, live.labels)
    figures = judge(tails, live, scored, _reference(network.network, tails))
    print(f"\n== 6. the verdict\n\n{table(figures)}")
    return all(figure.holds is not False for figure in figures)


def _stream(out: Path, model: Path, tails: Tails) -> LiveRun:
    repository = out / "models"
    version = repository / _MODEL / "1"
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, version / "model.onnx")
    with server(
        "4. serve, and stream every tail at once",
        *("service", "serve", "--model-repository", repository),
        *("--port", 0, "--metrics-port", 0),
    ) as target:
        return stream_all(target, _MODEL, tails)


def _reference(network: Network, tails: Tails) -> dict[str, Array]:
    """Outputs of the float64 reference, from a zero state as the streams start."""
    return {
        entity: forward(network, inputs[:, np.newaxis].astype(np.float64)).outputs[:, 0]
        for entity, inputs in tails.inputs.items()
    }


def _minutes(started: float) -> str:
    minutes, seconds = divmod(round(time.perf_counter() - started), 60)
    return f"{minutes} min {seconds} s"


if __name__ == "__main__":
    sys.exit(main())
