"""The recurrence of one layer, written to be read: a loop over steps under torch's own gradient.

Owns the cell's two forms, a layer's weights as arguments, and where sequences begin and end among
the steps. Knows nothing of modules. `kernels` has the same much faster, and is checked against
this; `reference` states the same mathematics in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class LayerWeights:
    """One recurrent layer's weights; gates in the order z, r, c.

    Attributes:
        inputs: (3 * hidden, input).
        gates: recurrent, of z and r, (2 * hidden, hidden).
        candidate: recurrent, (hidden, hidden).
        bias: (3 * hidden,); None without bias.
        candidate_bias: d_c, inside the reset gate's product, (hidden,); None where there is none.
        reset_after: the cell form.
    """

    inputs: Tensor
    gates: Tensor
    candidate: Tensor
    bias: Tensor | None
    candidate_bias: Tensor | None
    reset_after: bool


@dataclass(frozen=True)
class Boundaries:
    """Where sequences begin and end in lanes that hold several, one after the other.

    Attributes:
        starts: True where a sequence's first step is: the state before it is zero, whatever it was;
            (steps, lanes).
        real: False where a step is padding: the state passes it untouched; (steps, lanes).
    """

    starts: Tensor
    real: Tensor

    def entering(self, state: Tensor, step: int) -> Tensor:
        """The state that a step starts from, (lanes, hidden)."""
        return state.masked_fill(self.starts[step, :, None], 0.0)

    def entering_all(self, states: Tensor) -> Tensor:
        """The state that each step starts from, (steps, lanes, hidden)."""
        return states.masked_fill(self.starts[..., None], 0.0)

    def leaving(self, state: Tensor, before: Tensor, step: int) -> Tensor:
        """The state after a step, (lanes, hidden), of what the cell gave and what was before it."""
        return torch.where(self.real[step, :, None], state, before)


def run_plain(
    inputs: Tensor, state: Tensor, weights: LayerWeights, boundaries: Boundaries | None = None
) -> Tensor:
    """Runs a layer step by step.

    Args:
        inputs: (steps, batch, input).
        state: before the first step, (batch, hidden).
        weights: the layer's.
        boundaries: where sequences begin and end; None where all go through.

    Returns:
        The state after each step, (steps, batch, hidden).
    """
    hidden = state.shape[-1]
    projected = functional.linear(inputs, weights.inputs, weights.bias)
    gates, candidates = projected[..., : 2 * hidden], projected[..., 2 * hidden :]
    states = []
    for step, (gates_in, candidate_in) in enumerate(zip(gates, candidates, strict=True)):
        before = state if boundaries is None else boundaries.entering(state, step)
        z, r = torch.addmm(gates_in, before, weights.gates.T).sigmoid().chunk(2, dim=-1)
        c = _candidate(candidate_in, before, r, weights).tanh()
        # z h + (1 - z) c, (batch, hidden)
        state = torch.lerp(c, before, z)
        if boundaries is not None:
            state = boundaries.leaving(state, before, step)
        states.append(state)
    return torch.stack(states)


def _candidate(projected: Tensor, before: Tensor, reset: Tensor, weights: LayerWeights) -> Tensor:
    """The candidate before its activation, (batch, hidden)."""
    if weights.reset_after:
        # h U_c^T + d_c, (batch, hidden)
        product = functional.linear(before, weights.candidate, weights.candidate_bias)
        return torch.addcmul(projected, reset, product)
    return torch.addmm(projected, reset * before, weights.candidate.T)
