"""The recurrent layers that are measured, all with the same weights where the cell is the same.

Owns their construction. Knows nothing of clocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from training.gru import GruLayer
from training.kernels.choice import choose_loops
from training.kernels.function import run_by_hand
from training.kernels.loops import Loops, TorchLoops
from training.recurrence import LayerWeights, run_plain

TORCH_GRU = "nn.GRU"


@dataclass(frozen=True)
class Size:
    """The work: steps, sequences side by side, width of a step and of the state."""

    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        """As (T,B,I,H)."""
        return f"({self.steps},{self.batch},{self.inputs},{self.hidden})"


@dataclass(frozen=True)
class Contender:
    """One way to compute a layer.

    Attributes:
        name: in the table.
        reset_after: the cell form; that of nn.GRU is True.
        run: the states (steps, batch, hidden) of inputs (steps, batch, input).
        parameters: what the gradient is formed for, of input weights, recurrent weights, biases.
    """

    name: str
    reset_after: bool
    run: Callable[[Tensor], Tensor]
    parameters: tuple[Tensor, ...]

    def gradient(self, inputs: Tensor, by_states: Tensor) -> Tensor:
        """Forward and backward; returns the states."""
        for parameter in self.parameters:
            parameter.grad = None
        states = self.run(inputs)
        torch.autograd.backward(states, by_states)
        return states


def make_contenders(size: Size, generator: torch.Generator) -> list[Contender]:
    """All contenders; nn.GRU is the first."""
    made = [_torch_gru(size)]
    for reset_after in (False, True):
        layer = GruLayer(size.inputs, size.hidden, reset_after=reset_after, bias=True)
        layer.initialise(generator)
        if reset_after:
            _copy_from(made[0], layer)
        form = "reset after" if reset_after else "reset before"
        made += [
            _ours(f"compiled, {form}", layer, size, choose_loops(torch.zeros(1))),
            _ours(f"torch operations, {form}", layer, size, TorchLoops()),
            _ours(f"autograd loop, {form}", layer, size, None),
        ]
    return made


def _torch_gru(size: Size) -> Contender:
    gru = nn.GRU(size.inputs, size.hidden)
    state = torch.zeros(1, size.batch, size.hidden)
    parameters = tuple(gru.parameters())
    return Contender(TORCH_GRU, True, lambda inputs: gru(inputs, state)[0], parameters)


def _copy_from(torch_gru: Contender, layer: GruLayer) -> None:
    """Gives a reset-after layer the weights of torch's, whose gates stand in the order r, z, n."""
    with torch.no_grad():
        chunks = [parameter.chunk(3) for parameter in torch_gru.parameters]
        inputs, recurrent, bias, recurrent_bias = [(z, r, n) for r, z, n in chunks]
        assert layer.bias is not None and layer.candidate_bias is not None
        layer.input_weight.copy_(torch.cat(inputs))
        layer.gate_weight.copy_(torch.cat(recurrent[:2]))
        layer.candidate_weight.copy_(recurrent[2])
        # Torch's second bias is of use inside the reset gate's product alone.
        z, r, n = (a + b for a, b in zip(bias, recurrent_bias, strict=True))
        layer.bias.copy_(torch.cat([z, r, n - recurrent_bias[2]]))
        layer.candidate_bias.copy_(recurrent_bias[2])


def _ours(name: str, layer: GruLayer, size: Size, loops: Loops | None) -> Contender:
    """By hand through the loops, or the plain recurrence where there are none."""
    state = torch.zeros(size.batch, size.hidden)
    weights: LayerWeights = layer.weights
    run = run_plain if loops is None else partial(run_by_hand, loops=loops)
    return Contender(
        name,
        weights.reset_after,
        lambda inputs: run(inputs, state, weights),
        tuple(layer.parameters()),
    )
