"""The gated recurrent unit as torch modules, both cell forms, stacked.

Owns the recurrent layers: their weights, and how they start. Knows nothing of scaling, heads,
losses or files. The recurrence itself is in `recurrence`, to be read, and in `kernels`, fast.

Gates are stacked in the order z, r, c, the order of ONNX (PyTorch's own GRU has r, z, n).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.kernels.function import run_by_hand
from training.recurrence import Boundaries, LayerWeights

# A gate of sigmoid(1) = 0.73 keeps most of the old state, so that at the start of training the
# error still passes back through many steps.
REMEMBERING_BIAS = 1.0


class GruLayer(nn.Module):
    """One recurrent layer.

    Attributes:
        input_weight: (3 * hidden, input).
        gate_weight: recurrent, of z and r, (2 * hidden, hidden).
        candidate_weight: recurrent, (hidden, hidden).
        bias: (3 * hidden,); None without bias.
        candidate_bias: d_c, (hidden,); None without bias and in the reset-before form.
    """

    def __init__(self, inputs: int, hidden: int, *, reset_after: bool, bias: bool) -> None:
        super().__init__()
        self.hidden = hidden
        self.reset_after = reset_after
        self.input_weight = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.gate_weight = nn.Parameter(torch.empty(2 * hidden, hidden))
        self.candidate_weight = nn.Parameter(torch.empty(hidden, hidden))
        self.bias = nn.Parameter(torch.empty(3 * hidden)) if bias else None
        self.candidate_bias = nn.Parameter(torch.empty(hidden)) if bias and reset_after else None

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws the first weights: uniform input, orthogonal recurrence for each gate."""
        for gate in self.input_weight.chunk(3):
            nn.init.xavier_uniform_(gate, generator=generator)
        for gate in (*self.gate_weight.chunk(2), self.candidate_weight):
            nn.init.orthogonal_(gate, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
            nn.init.constant_(self.bias[: self.hidden], REMEMBERING_BIAS)
        if self.candidate_bias is not None:
            nn.init.zeros_(self.candidate_bias)

    @property
    def weights(self) -> LayerWeights:
        """The weights as arguments of a run."""
        return LayerWeights(
            self.input_weight,
            self.gate_weight,
            self.candidate_weight,
            self.bias,
            self.candidate_bias,
            self.reset_after,
        )

    def forward(
        self, inputs: Tensor, state: Tensor, boundaries: Boundaries | None = None
    ) -> Tensor:
        """Inputs (steps, batch, input), state (batch, hidden) to states (steps, batch, hidden)."""
        return run_by_hand(inputs, state, self.weights, boundaries)


class Gru(nn.Module):
    """Recurrent layers, each reading the states of the one below.

    Attributes:
        hidden: width of each layer's state.
        dropout: share of the states that a layer above does not see while the network trains.
    """

    def __init__(
        self, inputs: int, hidden: int, layers: int, *, reset_after: bool, bias: bool
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.dropout = 0.0
        widths = [inputs] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(
            GruLayer(width, hidden, reset_after=reset_after, bias=bias) for width in widths
        )

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, boundaries: Boundaries | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs all layers over all steps.

        Args:
            inputs: (steps, batch, input).
            state: before the first step, (layers, batch, hidden); None is zeros.
            boundaries: where sequences begin and end; None where all go through.

        Returns:
            The top layer's states, (steps, batch, hidden), and every layer's state after the last
            step, (layers, batch, hidden).
        """
        if state is None:
            state = inputs.new_zeros(len(self.layers), inputs.shape[1], self.hidden)
        below, final = inputs, []
        for number, (layer, initial) in enumerate(zip(self.layers, state, strict=True)):
            if number:
                below = functional.dropout(below, self.dropout, self.training)
            below = layer(below, initial, boundaries)
            final.append(below[-1])
        return below, torch.stack(final)
