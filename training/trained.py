"""A fitted network with all that an export needs to know of it.

Owns the hand-over between training and export. Knows neither torch nor ONNX.
"""

from dataclasses import dataclass, field

from training.reference import Network


@dataclass(frozen=True)
class Channel:
    """One number of a step, by name and unit; the unit is empty where it has none."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class TrainedModel:
    """A fitted network and where it came from.

    Attributes:
        name: the model's name, such as "activity".
        network: float64 copies of the fitted float32 weights.
        features: the input's channels, in column order.
        outputs: the output's channels; for a classifier the class labels.
        steps_per_second: steps in a second of real time; 0 where steps are not tied to time.
        data_digest: "sha256:<hex>" of the training data.
        config: the training configuration, as TOML.
        metrics: figures of the checkpoint, each name ending in its unit.
        versions: library name to version.
    """

    name: str
    network: Network
    features: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    steps_per_second: float
    data_digest: str
    config: str
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
