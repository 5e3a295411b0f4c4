"""The gated recurrent unit in torch, both cell forms, stacked.

Owns the recurrent layers: their weights, how they start, and the loop over steps. Knows nothing of
scaling, heads, losses or files. `reference` states the same mathematics in float64.

Gates are stacked in the order z, r, c, the order of ONNX (PyTorch's own GRU has r, z, n). Whatever
does not depend on the state, the input's product with all three gates, is formed for all steps at
once; only the recurrent products stand in the loop.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# A gate of sigmoid(1) = 0.73 keeps most of the old state, so that at the start of training the
# error still passes back through many steps.
REMEMBERING_BIAS = 1.0


@dataclass(frozen=True)
class Recurrence:
    """The weights that the loop over steps needs.

    Attributes:
        gates: of update and reset gate, stacked, (2 * hidden, hidden).
        candidate: (hidden, hidden).
        candidate_bias: inside the reset gate's product, (hidden,); None where there is none.
    """

    gates: Tensor
    candidate: Tensor
    candidate_bias: Tensor | None


def run_reset_before(projected: Tensor, state: Tensor, recurrence: Recurrence) -> Tensor:
    """Runs the cell whose reset gate acts before the candidate's matrix.

    Args:
        projected: x W^T + b of every step, gates z, r, c, (steps, batch, 3 * hidden).
        state: before the first step, (batch, hidden).
        recurrence: the recurrent weights.

    Returns:
        The state after each step, (steps, batch, hidden).
    """
    gates_t, candidate_t = recurrence.gates.T, recurrence.candidate.T
    states = []
    for gates_in, candidate_in in _steps(projected):
        z, r = torch.addmm(gates_in, state, gates_t).sigmoid().chunk(2, dim=-1)
        c = torch.addmm(candidate_in, r * state, candidate_t).tanh()
        # z h + (1 - z) c, (batch, hidden)
        state = torch.lerp(c, state, z)
        states.append(state)
    return torch.stack(states)


def run_reset_after(projected: Tensor, state: Tensor, recurrence: Recurrence) -> Tensor:
    """Runs the cell whose reset gate acts after the candidate's matrix.

    Arguments and result are those of `run_reset_before`.
    """
    gates_t = recurrence.gates.T
    states = []
    for gates_in, candidate_in in _steps(projected):
        z, r = torch.addmm(gates_in, state, gates_t).sigmoid().chunk(2, dim=-1)
        # h U_c^T + d_c, (batch, hidden)
        q = functional.linear(state, recurrence.candidate, recurrence.candidate_bias)
        c = torch.addcmul(candidate_in, r, q).tanh()
        state = torch.lerp(c, state, z)
        states.append(state)
    return torch.stack(states)


def _steps(projected: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    """Step by step, what the input gives to the gates z and r together, and to the candidate."""
    hidden = projected.shape[-1] // 3
    gates, candidate = torch.split(projected, [2 * hidden, hidden], dim=-1)
    return zip(gates.unbind(0), candidate.unbind(0), strict=True)


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

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Inputs (steps, batch, input), state (batch, hidden) to states (steps, batch, hidden)."""
        projected = functional.linear(inputs, self.input_weight, self.bias)
        run = run_reset_after if self.reset_after else run_reset_before
        recurrence = Recurrence(self.gate_weight, self.candidate_weight, self.candidate_bias)
        return run(projected, state, recurrence)


class Gru(nn.Module):
    """Recurrent layers, each reading the states of the one below."""

    def __init__(
        self, inputs: int, hidden: int, layers: int, *, reset_after: bool, bias: bool
    ) -> None:
        super().__init__()
        self.hidden = hidden
        widths = [inputs] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(
            GruLayer(width, hidden, reset_after=reset_after, bias=bias) for width in widths
        )

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs all layers over all steps.

        Args:
            inputs: (steps, batch, input).
            state: before the first step, (layers, batch, hidden); None is zeros.

        Returns:
            The top layer's states, (steps, batch, hidden), and every layer's state after the last
            step, (layers, batch, hidden).
        """
        if state is None:
            state = inputs.new_zeros(len(self.layers), inputs.shape[1], self.hidden)
        below, final = inputs, []
        for layer, initial in zip(self.layers, state, strict=True):
            below = layer(below, initial)
            final.append(below[-1])
        return below, torch.stack(final)
