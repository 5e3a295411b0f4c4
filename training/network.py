"""The trainable network: input scaling, recurrent layers, head.

Owns what is put around the recurrence. Knows nothing of losses, data or files; `convert` turns it
into the float64 `reference.Network` and back.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.gru import Gru, GruLayer
from training.recurrence import Boundaries


@dataclass(frozen=True)
class Shape:
    """Everything that decides which weights a network has.

    Attributes:
        features: width of an input step.
        outputs: width of an output step.
        hidden: width of a layer's state.
        layers: number of recurrent layers.
        reset_after: the cell form.
        bias: whether the recurrent layers have biases; the head always has.
    """

    features: int
    outputs: int
    hidden: int
    layers: int
    reset_after: bool
    bias: bool


class RecurrentNetwork(nn.Module):
    """`head(gru((x - input_mean) / input_scale))`.

    The scaling is a buffer of the network, so that it is saved, exported and served with the
    weights, and a caller always sends what the sensor gave. So is that of the outputs, which brings
    the head's values into the target's own unit; it is 0 and 1 but for regression.
    """

    input_mean: Tensor
    input_scale: Tensor
    output_mean: Tensor
    output_scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("input_mean", torch.zeros(shape.features))
        self.register_buffer("input_scale", torch.ones(shape.features))
        self.register_buffer("output_mean", torch.zeros(shape.outputs))
        self.register_buffer("output_scale", torch.ones(shape.outputs))
        self.gru = Gru(
            shape.features,
            shape.hidden,
            shape.layers,
            reset_after=shape.reset_after,
            bias=shape.bias,
        )
        self.head = nn.Linear(shape.hidden, shape.outputs)

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, boundaries: Boundaries | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the network over all steps.

        Args:
            inputs: unscaled, (steps, batch, features).
            state: before the first step, (layers, batch, hidden); None is zeros.
            boundaries: where sequences begin and end; None where all go through.

        Returns:
            The head's values before any activation, (steps, batch, outputs), and the state after
            the last step, (layers, batch, hidden).
        """
        scaled = (inputs - self.input_mean) / self.input_scale
        states, final_state = self.gru(scaled, state, boundaries)
        return self.head(states), final_state


def initialise(network: RecurrentNetwork, generator: torch.Generator) -> None:
    """Draws every weight anew; the same generator state gives the same network."""
    for module in network.modules():
        if isinstance(module, GruLayer):
            module.initialise(generator)
    nn.init.xavier_uniform_(network.head.weight, generator=generator)
    nn.init.zeros_(network.head.bias)
