"""The settings of a training run: names, units, defaults and ranges.

Owns what a configuration may say. Knows nothing of files; `config_file` reads and writes TOML.
"""

import math
import re
from dataclasses import dataclass, field

from training.errors import ConfigError

BUILTIN_SETS = ("watch", "traffic")
DEVICES = ("cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")
KEPT = ("best", "last")
SAMPLINGS = ("crops", "carried", "whole")
SPLITS = ("time", "entity")
TARGET_KINDS = ("class", "regression", "labels")
# Far above any use, and below what no counter or memory holds.
_MOST = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class DataConfig:
    """Where the sequences are and what their columns mean.

    Attributes:
        path: a .parquet, .csv, .arrow or .feather file, relative to the working directory.
        entity: the column that says which sequence a row belongs to.
        order: the column that orders the rows of a sequence: numbers or times.
        target: the column, or the columns, with what is to be said at each step.
        kind: what a target is. "class": one of several classes, in one column. "regression":
            numbers, one or many columns. "labels": 0 or 1, each column on its own.
        target_units: units of regression's target columns, where they have one.
        weight: the column that says how much each step's target counts; "" where all count alike.
        features: input columns with their units ("" for none). A name may be a pattern, such as
            "accel_*"; channels stand in the order of this table, and within a pattern in that of
            the file.
        group: the column that says which entities belong together, such as those of one person;
            "" where each stands alone. For splits by entity.
        builtin: the built-in set that `path` is made from where it is missing; "" for a file of
            one's own.
    """

    path: str
    entity: str
    order: str
    target: str | tuple[str, ...]
    features: dict[str, str]
    kind: str = "class"
    target_units: dict[str, str] = field(default_factory=dict)
    weight: str = ""
    group: str = ""
    builtin: str = ""

    def __post_init__(self) -> None:
        """Checks every range."""
        for setting in ("path", "entity", "order", "target"):
            value = getattr(self, setting)
            _require(bool(value), f"data.{setting}", value, "must not be empty")
        _require(bool(self.features), "data.features", self.features, "must name an input column")
        known = ("", *BUILTIN_SETS)
        _require(self.builtin in known, "data.builtin", self.builtin, f"must be one of {known}")
        _require(
            self.kind in TARGET_KINDS, "data.kind", self.kind, f"must be one of {TARGET_KINDS}"
        )
        names, target = self.targets, self.target
        _require(all(names), "data.target", target, "must not hold an empty name")
        _require(len(set(names)) == len(names), "data.target", target, "must name a column once")
        single = self.kind != "class" or len(names) == 1
        _require(single, "data.target", target, 'must be one column where data.kind is "class"')
        scaled = set(names) if self.kind == "regression" else set()
        remedy = f"must name columns of data.target, and only for regression; there are {names}"
        _require(scaled >= set(self.target_units), "data.target_units", self.target_units, remedy)

    @property
    def targets(self) -> tuple[str, ...]:
        """The target's columns."""
        return (self.target,) if isinstance(self.target, str) else self.target


@dataclass(frozen=True)
class SplitConfig:
    """What is trained on, what decides when to stop, and what is only ever used for the test.

    Attributes:
        by: "time": every sequence is cut, training, then validation, then test. "entity": whole
            sequences go to one part, all of a group together.
        test_fraction: share of each sequence, at its end, or of all groups, for the test.
        validation_fraction: share of the rest, at its end, or of the groups that are left. 0.2
            leaves most for training, and is long enough to show more than the start from zero
            state.
        test_groups: the test's groups by name, instead of a share drawn by the seed.
        validation_groups: likewise.
    """

    by: str = "time"
    test_fraction: float = 0.3
    validation_fraction: float = 0.2
    test_groups: tuple[str, ...] = ()
    validation_groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks every range."""
        _require(self.by in SPLITS, "split.by", self.by, f"must be one of {SPLITS}")
        for setting in ("test_groups", "validation_groups"):
            names = getattr(self, setting)
            fits = not names or self.by == "entity"
            _require(fits, f"split.{setting}", names, 'needs split.by = "entity"')
        both = sorted({*self.test_groups} & {*self.validation_groups})
        _require(not both, "split.test_groups", self.test_groups, f"shares {both} with validation")
        for setting in ("test_fraction", "validation_fraction"):
            value = getattr(self, setting)
            _require(0 < value < 1, f"split.{setting}", value, "must lie between 0 and 1")


@dataclass(frozen=True)
class NetworkConfig:
    """The form of the network.

    Attributes:
        hidden: width of each recurrent layer's state.
        layers: number of recurrent layers.
        reset_after: False is the cell of Cho et al. 2014; True is that of PyTorch and cuDNN, for
            weights that have to go there.
        bias: whether the recurrent layers have biases; the head always has.
    """

    hidden: int = 96
    layers: int = 1
    reset_after: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        """Checks every range."""
        # Above these a machine's memory ends, not a network's use.
        for setting, most in (("hidden", 16_384), ("layers", 64)):
            value = getattr(self, setting)
            _require(1 <= value <= most, f"network.{setting}", value, f"must be from 1 to {most}")


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted.

    Attributes:
        epochs: at most so many; the learning rate's schedule is laid over all of them.
        batches_per_epoch: weight updates between two looks at the validation part.
        sampling: what a batch holds. "crops": pieces from anywhere in a sequence, each from zero
            state. "carried": every lane goes through all sequences, and each batch is its next
            chunk; the state is carried over, the gradient is not (truncated back-propagation).
            "whole": whole sequences.
        lanes: crops, or sequences, side by side in a batch.
        crop_steps: length of a crop or chunk, and so of back-propagation through time, in steps;
            "whole" has no use for it.
        dropout: share of the states that are left out between one layer and the next.
        learning_rate: of AdamW, at its highest.
        warmup_fraction: share of all updates over which the learning rate rises from 0; after it,
            it falls along a cosine.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradient of the mean loss of a real step.
        patience_epochs: epochs without a better validation loss after which the fit stops.
        keep: the weights of which epoch: "best", that with the lowest validation loss, or "last",
            of all epochs, for a validation part too small to choose by.
        device: "cpu", whose fits can be repeated bit for bit and whose loops are compiled, or
            "cuda".
        precision: of matrix products. "bfloat16" is mixed precision: weights, states, sums and all
            element-wise work stay float32. It pays on CUDA.
    """

    epochs: int = 40
    batches_per_epoch: int = 25
    sampling: str = "crops"
    lanes: int = 64
    crop_steps: int = 64
    dropout: float = 0.0
    learning_rate: float = 4e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    patience_epochs: int = 10
    keep: str = "best"
    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Checks every range."""
        for setting in ("epochs", "batches_per_epoch", "lanes", "crop_steps", "patience_epochs"):
            value = getattr(self, setting)
            remedy = f"must be from 1 to {_MOST}"
            _require(1 <= value <= _MOST, f"training.{setting}", value, remedy)
        for setting in ("learning_rate", "clip_norm"):
            value = getattr(self, setting)
            _require(0 < value < math.inf, f"training.{setting}", value, "must be above 0")
        choices = {"sampling": SAMPLINGS, "keep": KEPT}
        choices |= {"device": DEVICES, "precision": PRECISIONS}
        for setting, known in choices.items():
            value = getattr(self, setting)
            _require(value in known, f"training.{setting}", value, f"must be one of {known}")
        dropout = self.dropout
        _require(0 <= dropout < 1, "training.dropout", dropout, "must be from 0 to below 1")
        decay, warmup = self.weight_decay, self.warmup_fraction
        _require(0 <= decay < math.inf, "training.weight_decay", decay, "must be at least 0")
        _require(0 <= warmup < 1, "training.warmup_fraction", warmup, "must be from 0 to below 1")


@dataclass(frozen=True)
class AugmentationConfig:
    """How the steps that are fitted are varied; those that are held out never are.

    Attributes:
        axes: three parts of names, such as "_x", "_y" and "_z". Channels whose names differ in
            these alone are the components of one vector.
        turn_degrees: how far all vectors of a sequence are turned together, as if the sensor had
            been put on differently: the spread of a normally distributed angle, about an axis drawn
            from all directions.
    """

    axes: tuple[str, ...] = ()
    turn_degrees: float = 0.0

    def __post_init__(self) -> None:
        """Checks every range."""
        axes, turn = self.axes, self.turn_degrees
        _require(0 <= turn <= 180, "augmentation.turn_degrees", turn, "must be from 0 to 180")
        named = len({*axes}) == 3 and all(axes)
        remedy = 'must be three parts of channel names, such as ["_x", "_y", "_z"]'
        _require(named or (not axes and turn == 0), "augmentation.axes", axes, remedy)


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: the model's name, under which it is exported and served.
        data: see DataConfig.
        steps_per_second: of real time; 0 where steps are not tied to time.
        seed: of the first weights and of all sampling; the same seed and the same number of
            threads give the same weights, bit for bit, on the CPU.
        split: see SplitConfig.
        network: see NetworkConfig.
        training: see TrainingConfig.
        augmentation: see AugmentationConfig.
    """

    name: str
    data: DataConfig
    steps_per_second: float = 0.0
    seed: int = 1
    split: SplitConfig = field(default_factory=SplitConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        """Checks every range."""
        named = _NAME.fullmatch(self.name) is not None
        above = self.training.dropout == 0 or self.network.layers > 1
        reason = "acts between layers, and network.layers is 1: leave it out, or add a layer"
        _require(above, "training.dropout", self.training.dropout, reason)
        remedy = "must be letters, digits, '.', '_' and '-', beginning with a letter or digit"
        _require(named, "name", self.name, remedy)
        rate = self.steps_per_second
        _require(0 <= rate < math.inf, "steps_per_second", rate, "must be at least 0")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to below 2^63")


def _require(holds: bool, setting: str, value: object, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{setting} = {value!r} {remedy}")
