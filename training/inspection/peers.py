"""Other recurrent networks of the same size, to compare the gated recurrent unit with.

Owns the plain tanh network and the LSTM between the same input scaling and the same kind of head,
and how they start. Knows nothing of how they are fitted.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from training.network import RecurrentNetwork, Shape
from training.recurrence import Boundaries

PeerKind = Literal["tanh RNN", "LSTM"]
PEER_KINDS: tuple[PeerKind, ...] = ("tanh RNN", "LSTM")


class PeerNetwork(nn.Module):
    """A plain or an LSTM network, with the forward of `RecurrentNetwork`.

    The state of an LSTM is (h, c): h of all layers, then c of all layers, (2 * layers, batch,
    hidden). That of the plain network is h alone, (layers, batch, hidden).
    """

    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, kind: PeerKind, shape: Shape) -> None:
        super().__init__()
        self.kind = kind
        self.shape = shape
        self.register_buffer("input_mean", torch.zeros(shape.features))
        self.register_buffer("input_scale", torch.ones(shape.features))
        module = nn.LSTM if kind == "LSTM" else nn.RNN
        self.recurrence = module(shape.features, shape.hidden, shape.layers, bias=shape.bias)
        self.head = nn.Linear(shape.hidden, shape.outputs)

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, boundaries: Boundaries | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the network over all steps.

        Args:
            inputs: unscaled, (steps, batch, features).
            state: before the first step; None is zeros.
            boundaries: where sequences begin and end; None where all go through.

        Returns:
            The head's values before any activation, (steps, batch, outputs), and the state after
            the last step.
        """
        if boundaries is not None:
            return self._step_by_step(inputs, state, boundaries)
        scaled = (inputs - self.input_mean) / self.input_scale
        if isinstance(self.recurrence, nn.RNN):
            states, final = self.recurrence(scaled, state)
            return self.head(states), final
        pair = None if state is None else state.chunk(2)
        states, pair = self.recurrence(scaled, pair)
        return self.head(states), torch.cat(pair)

    def _step_by_step(
        self, inputs: Tensor, state: Tensor | None, boundaries: Boundaries
    ) -> tuple[Tensor, Tensor]:
        """As `forward`; torch's own networks can't begin a sequence within a lane."""
        if state is None:
            parts = self.shape.layers * (2 if self.kind == "LSTM" else 1)
            state = inputs.new_zeros(parts, inputs.shape[1], self.shape.hidden)
        values = []
        for step in range(len(inputs)):
            before = boundaries.entering(state, step)
            value, after = self(inputs[step : step + 1], before)
            state = boundaries.leaving(after, before, step)
            values.append(value)
        return torch.cat(values), state


@torch.no_grad()
def make_peer(kind: PeerKind, network: RecurrentNetwork, seed: int) -> PeerNetwork:
    """A peer at its start: of the network's shape and scaling, started by the network's rules.

    Inputs and head are uniform, recurrences orthogonal for each gate, biases zero but for the
    LSTM's forget gate, whose 1 keeps most of the old state as the GRU's update gate does.
    """
    generator = torch.Generator().manual_seed(seed)
    peer = PeerNetwork(kind, network.shape)
    peer.input_mean.copy_(network.input_mean)
    peer.input_scale.copy_(network.input_scale)
    gates = 4 if kind == "LSTM" else 1
    for name, parameter in peer.recurrence.named_parameters():
        if name.startswith("weight_ih"):
            for gate in parameter.chunk(gates):
                nn.init.xavier_uniform_(gate, generator=generator)
        elif name.startswith("weight_hh"):
            for gate in parameter.chunk(gates):
                nn.init.orthogonal_(gate, generator=generator)
        else:
            nn.init.zeros_(parameter)
            if kind == "LSTM" and name.startswith("bias_ih"):
                # PyTorch's order is i, f, g, o.
                nn.init.ones_(parameter.chunk(gates)[1])
    nn.init.xavier_uniform_(peer.head.weight, generator=generator)
    nn.init.zeros_(peer.head.bias)
    return peer


def parameters(network: nn.Module) -> int:
    """How many numbers are fitted."""
    return sum(parameter.numel() for parameter in network.parameters())


def next_state(network: RecurrentNetwork | PeerNetwork, inputs: Tensor, state: Tensor) -> Tensor:
    """The state one step on; inputs (batch, features), state (parts, batch, hidden)."""
    return cast(Tensor, network(inputs[None], state)[1])


def read_out(network: RecurrentNetwork | PeerNetwork, state: Tensor) -> Tensor:
    """The head's values at a state, (batch, outputs)."""
    return cast(Tensor, network.head(state[network.shape.layers - 1]))


def zero_state(network: RecurrentNetwork | PeerNetwork, batch: int) -> Tensor:
    """The state of a stream that is opened, float64, (parts, batch, hidden)."""
    shape = network.shape
    halves = 2 if isinstance(network, PeerNetwork) and network.kind == "LSTM" else 1
    return torch.zeros(halves * shape.layers, batch, shape.hidden, dtype=torch.float64)
