"""The benchmark `published`: fits with committed settings, beside what others have published.

Owns which tasks there are, their published figures with their sources, and the seeds. A figure that
is not reached is recorded as not reached.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from tqdm import tqdm

from benchmarks import machine
from benchmarks.benchmark import Benchmark
from benchmarks.report import Column, Record
from benchmarks.training.adding import fit_adding, read_adding
from training.config_file import read_config
from training.fit import fit
from training.run_folder import RunFolder

_HERE = Path(__file__).parent
_TRAFFIC = Path(__file__).parents[2] / "training" / "configs" / "traffic.toml"
_DESCRIPTION = """\
Fits with the settings of benchmarks/training/*.toml and training/configs/traffic.toml, over several
seeds, and puts the test figures beside published ones:

  adding          mean squared error, T = 600; Bai et al. 2018 (arXiv 1803.01271)
  activity-fold*  steps right on people that the fit has not seen, three folds
  traffic         mean absolute error of the next hour, last 15%

Takes half an hour on two cores.

example:
  python -m benchmarks published --only traffic --seeds 1 2 3
"""


@dataclass(frozen=True)
class Task:
    """Something that is fitted and compared.

    Attributes:
        name: of the task.
        figure: what is measured, ending in its unit.
        published: that of others.
        source: where it was published.
        wanted: what ours should reach.
        higher_is_better: of the figure.
        measure: gives the figure for a seed.
    """

    name: str
    figure: str
    published: float
    source: str
    wanted: float
    higher_is_better: bool
    measure: Callable[[int], float]

    def reached(self, value: float) -> bool:
        """Whether a figure is as good as wanted."""
        return value >= self.wanted if self.higher_is_better else value <= self.wanted


def _fit(config: Path, metric: str) -> Callable[[int], float]:
    """Fits by a configuration, in a folder that is thrown away."""

    def measure(seed: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return fit(replace(read_config(config), seed=seed), RunFolder(Path(folder)))[metric]

    return measure


def _adding(seed: int) -> float:
    problem = read_adding()
    updates = problem.training.epochs * problem.training.batches_per_epoch
    with tqdm(total=updates, unit="update", desc=f"adding, seed {seed}", mininterval=10.0) as bar:

        def watch(_: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.2e}", refresh=False)
            bar.update()

        return fit_adding(problem, seed, watch)


def _fold(number: int) -> Task:
    return Task(
        name=f"activity-fold{number}",
        figure="test_accuracy_percent",
        published=88.9,
        source="CRNN, Burns et al. 2018 (arXiv 1802.01489), unseen subjects, other folds",
        wanted=88.0,
        higher_is_better=True,
        measure=_fit(_HERE / f"activity_fold{number}.toml", "test_accuracy_percent"),
    )


TASKS = (
    _fold(1),
    _fold(2),
    _fold(3),
    Task(
        name="traffic",
        figure="test_mean_absolute_error_vehicles_per_h",
        published=226.0,
        source="linear model on 24 lags and the week before, our measurement",
        wanted=145.0,
        higher_is_better=False,
        measure=_fit(_TRAFFIC, "test_mean_absolute_error_vehicles_per_h"),
    ),
    Task(
        name="adding",
        figure="test_mean_squared_error",
        published=5.3e-5,
        source="GRU of 70K weights, Bai et al. 2018 (arXiv 1803.01271)",
        wanted=5.3e-5,
        higher_is_better=False,
        measure=_adding,
    ),
)


def measure(options: argparse.Namespace) -> list[Record]:
    """Fits every task with every seed."""
    torch.set_num_threads(options.threads)
    wanted = [task for task in TASKS if not options.only or task.name in options.only]
    seeds = options.seeds[:1] if options.quick else options.seeds
    return [_measure(task, seeds) for task in (wanted[:1] if options.quick else wanted)]


def _measure(task: Task, seeds: list[int]) -> Record:
    started = time.perf_counter()
    values = []
    for seed in seeds:
        values.append(task.measure(seed))
        print(f"{task.name}, seed {seed}: {task.figure} {values[-1]:.5g}", flush=True)
    record: Record = {
        "benchmark": "published",
        "task": task.name,
        "figure": task.figure,
        "published": task.published,
        "source": task.source,
        "wanted": task.wanted,
        "seeds": ", ".join(map(str, seeds)),
        "mean": mean(values),
        "lowest": min(values),
        "highest": max(values),
        "reached": task.reached(mean(values)),
        "seconds_per_fit": (time.perf_counter() - started) / len(seeds),
        "threads": torch.get_num_threads(),
    }
    return record | machine.describe()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [task.name for task in TASKS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="TASK", help=", ".join(names))
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N", help="(1 2 3)"
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each fit (2)")


BENCHMARK = Benchmark(
    name="published",
    summary="fits with committed settings, beside published figures",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    measure=measure,
    identity="task",
    columns=(
        Column("task", "task"),
        Column("figure", "figure"),
        Column("published", "published", ".4g"),
        Column("wanted", "wanted", ".4g"),
        Column("mean", "mean", ".4g"),
        Column("lowest", "lowest", ".4g"),
        Column("highest", "highest", ".4g"),
        Column("reached", "reached", ""),
        Column("s a fit", "seconds_per_fit", ".0f"),
    ),
)
