"""The command `python -m demo`: the whole path on real data, with a verdict.

Owns the order of the steps. Every step is one of the project's own commands, and can be run by
itself as printed.
"""

import argparse
import shutil
import signal
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
from training.config_file import read_config
from training.console import Parser
from training.errors import ConfigError, TrainingError
from training.reference import Array, Network, forward

_CONFIG = Path("training/configs/activity.toml")
_DESCRIPTION = """\
Fetches 140 smartwatch recordings, trains a GRU on their first 70%, exports and proves it, serves
it, streams all 140 held-out tails at once, scores the same tails in a batch, and compares. Exits
0 where every figure is reached, 1 where one falls short or a step fails, 2 for a bad --config.

example:
  python -m demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns its exit code."""
    parser = Parser(
        prog="python -m demo",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder (%(default)s)")
    parser.add_argument(
        "--config", type=Path, default=_CONFIG, help="of the training (%(default)s)"
    )
    options = parser.parse_args(arguments)
    # So that a killed demo still ends its children on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.perf_counter()
    try:
        held = _demo(options.config, options.out)
    except (DemoError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, TrainingError) else 1
    except KeyboardInterrupt:
        return 130
    print(
        f"\n{options.out}/ holds the model, the curves and the tables; {_minutes(started)} in all"
    )
    return 0 if held else 1


def _demo(config_path: Path, out: Path) -> bool:
    """Runs every step; True where every figure holds."""
    config = read_config(config_path)
    target = config.data.target
    if config.data.kind != "class" or not isinstance(target, str):
        raise ConfigError(f"data.kind = {config.data.kind!r}; the demo judges one class a step")
    columns = Columns(config.data.entity, config.data.order, target)
    model = out / "model.onnx"
    tails_path, scored_path = out / "tails.parquet", out / "scored.parquet"
    if config.data.builtin == "watch":
        words = ("training", "data", "watch", "--out", config.data.path)
        run("1. fetch the recordings and convert them, once", *words)
    run("2. train", "training", "fit", "--config", config_path, "--out", out, "--force")
    run("3. export and prove", "export", "--run", out, "--out", model)
    run("   the held-out tails", "training", "data", "tails", "--run", out, "--out", tails_path)

    trained = load_trained(out)
    tails = read_tails(tails_path, columns, tuple(channel.name for channel in trained.features))
    live = _stream(out, model, config.name, tails)
    run(
        "5. score the same tails in a batch",
        *("service", "score", "--model", model, "--input", tails_path, "--output", scored_path),
        *("--entity", columns.entity, "--order", columns.order),
    )
    scored = read_outputs(scored_path, columns, live.labels)
    figures = judge(tails, live, scored, _reference(trained.network, tails))
    print(f"\n== 6. the verdict\n\n{table(figures)}")
    return all(figure.holds is not False for figure in figures)


def _stream(out: Path, model: Path, name: str, tails: Tails) -> LiveRun:
    repository = out / "models"
    version = repository / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, version / "model.onnx")
    with server(
        "4. serve, and stream every tail at once",
        *("service", "serve", "--model-repository", repository),
        *("--port", 0, "--metrics-port", 0),
    ) as target:
        return stream_all(target, name, tails)


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
