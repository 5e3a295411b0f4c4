"""Networks with random weights, for benchmarks and tests of what comes after training.

Owns how they are drawn. Knows nothing of ONNX.
"""

from collections.abc import Callable

import numpy as np

from training.reference import Activation, Array, Layer, Network
from training.trained import Channel, TrainedModel


def random_network(
    features: int,
    hidden: int,
    layers: int,
    outputs: int,
    *,
    reset_after: bool = False,
    bias: bool = True,
    activation: Activation = "softmax",
    seed: int = 0,
) -> Network:
    """A network whose weights are uniform in +-1 / sqrt(hidden), all of them float32 numbers.

    Args:
        features: width of an input step.
        hidden: width of a layer's state.
        layers: how many recurrent layers.
        outputs: width of an output step.
        reset_after: the cell form.
        bias: whether the recurrent layers have biases.
        activation: of the head.
        seed: equal seeds give equal networks.
    """
    random = np.random.default_rng(seed)

    def draw(*shape: int, low: float = -1.0, high: float = 1.0) -> Array:
        return random.uniform(low, high, size=shape).astype(np.float32).astype(np.float64)

    def weights(*shape: int) -> Array:
        return draw(*shape, low=-(hidden**-0.5), high=hidden**-0.5)

    scaled = activation == "identity"
    return Network(
        layers=tuple(
            _random_layer(weights, hidden if index else features, hidden, bias, reset_after)
            for index in range(layers)
        ),
        reset_after=reset_after,
        bias=bias,
        input_mean=draw(features),
        input_scale=draw(features, low=0.5, high=2.0),
        head_weight=weights(outputs, hidden),
        head_bias=weights(outputs),
        activation=activation,
        output_mean=draw(outputs) if scaled else np.zeros(outputs),
        output_scale=draw(outputs, low=0.5, high=2.0) if scaled else np.ones(outputs),
    )


def random_model(network: Network, name: str = "random") -> TrainedModel:
    """A network as if it came from training, its channels numbered."""
    return TrainedModel(
        name=name,
        network=network,
        features=_channels("feature", network.features),
        outputs=_channels("output", network.outputs),
        steps_per_second=0.0,
        data_digest="",
        config="",
    )


def _random_layer(
    weights: Callable[..., Array], width: int, hidden: int, bias: bool, reset_after: bool
) -> Layer:
    def biases(wanted: bool) -> Array:
        return weights(hidden) if wanted else np.zeros(hidden)

    return Layer(
        w_z=weights(hidden, width),
        w_r=weights(hidden, width),
        w_c=weights(hidden, width),
        u_z=weights(hidden, hidden),
        u_r=weights(hidden, hidden),
        u_c=weights(hidden, hidden),
        b_z=biases(bias),
        b_r=biases(bias),
        b_c=biases(bias),
        d_c=biases(bias and reset_after),
    )


def _channels(kind: str, count: int) -> tuple[Channel, ...]:
    return tuple(Channel(f"{kind}_{index}") for index in range(count))
