"""How much of an error reaches the states before it: the norm of dL_T/dh_{T-k} by lag k.

Owns the choice of steps T and the chain of vector-Jacobian products, in float64 by torch's autograd
on the network as it is; tests hold it against `reference_backward`. The state is that of all
layers together, and an LSTM's is (h, c).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.sequences import Sequence
from training.inspection.peers import PeerNetwork, next_state, read_out, zero_state
from training.network import RecurrentNetwork
from training.objective import Objective
from training.reference import Array
from training.sampling import Batch, pad

# Pairs whose graph is held at a time: bounds the memory.
_LANES = 64
# Steps at a sequence's start among which T is drawn: bounds the time to reach them.
_MOST_STEPS = 20_000


@dataclass(frozen=True)
class Pair:
    """A step T of a sequence, at which an error begins."""

    sequence: int
    step: int


@dataclass(frozen=True)
class LagNorms:
    """What reaches the states before step T, for many steps T.

    Attributes:
        name: of the network.
        norms: of dL_T/dh_{T-k}, (pairs, lags + 1); column k is lag k.
    """

    name: str
    norms: Array

    @property
    def quartiles(self) -> Array:
        """First quartile, median and third by lag, (3, lags + 1)."""
        return np.quantile(self.norms, (0.25, 0.5, 0.75), axis=0)

    @property
    def relative(self) -> Array:
        """The same quartiles of each pair's norms over its own at lag 0, (3, lags + 1).

        A pair without any error at T says nothing here.
        """
        erring = self.norms[self.norms[:, 0] > 0]
        if not len(erring):
            return np.full((3, self.norms.shape[1]), np.nan)
        return np.quantile(erring / erring[:, :1], (0.25, 0.5, 0.75), axis=0)

    @property
    def factor_per_step(self) -> float:
        """By what an error is multiplied a step, over all lags: of the relative median."""
        median = self.relative[1]
        return float(median[-1] ** (1.0 / (len(median) - 1)))

    def describe(self) -> str:
        """Such as "an error's median goes x 0.942 a step, and is below 1% at lag 73"."""
        below = self.lag_below(0.01)
        end = "never falls below 1%" if below is None else f"is below 1% at lag {below}"
        return f"an error's median goes x {self.factor_per_step:.3f} a step, and {end}"

    def lag_below(self, share: float) -> int | None:
        """The first lag at which the relative median is below a share; None where it never is."""
        below = np.flatnonzero(self.relative[1] < share)
        return int(below[0]) if len(below) else None


def fitting_lags(sequences: tuple[Sequence, ...], most: int) -> int:
    """The longest lag, up to `most`, that half of the sequences hold; at least 1."""
    lengths = [min(len(sequence), _MOST_STEPS) for sequence in sequences]
    return max(1, min(most, int(np.median(lengths)) - 1))


def draw_pairs(
    sequences: tuple[Sequence, ...], lags: int, count: int, seed: int
) -> tuple[Pair, ...]:
    """Draws steps that have a target and at least `lags` steps before them, each at most once."""
    possible = [
        Pair(index, int(step))
        for index, sequence in enumerate(sequences)
        for step in np.flatnonzero(_scored(sequence)[:_MOST_STEPS])
        if step >= lags
    ]
    chosen = np.random.default_rng(seed).permutation(len(possible))[:count]
    return tuple(possible[index] for index in sorted(chosen))


def measure_lags(
    name: str,
    network: RecurrentNetwork | PeerNetwork,
    objective: Objective,
    sequences: tuple[Sequence, ...],
    pairs: tuple[Pair, ...],
    lags: int,
) -> LagNorms:
    """Measures how errors flow back.

    Args:
        name: of the network.
        network: stays as it is; the measurement is made on a float64 copy.
        objective: whose loss of step T is differentiated, with the step's weight.
        sequences: streamed cold.
        pairs: where errors begin.
        lags: how many steps back.
    """
    exact = _exact(network)
    norms = []
    for start in range(0, len(pairs), _LANES):
        group = pairs[start : start + _LANES]
        state = _states_before(exact, sequences, group, lags)
        windows = pad(
            [sequences[pair.sequence].cut(pair.step + 1 - lags, pair.step + 1) for pair in group]
        )
        norms.append(_norms(exact, objective, windows, state))
    return LagNorms(name, np.concatenate(norms))


def _exact(network: RecurrentNetwork | PeerNetwork) -> RecurrentNetwork | PeerNetwork:
    copied: RecurrentNetwork | PeerNetwork = (
        PeerNetwork(network.kind, network.shape)
        if isinstance(network, PeerNetwork)
        else RecurrentNetwork(network.shape)
    )
    copied.load_state_dict(network.state_dict())
    return copied.double()


def _scored(sequence: Sequence) -> NDArray[np.bool_]:
    """Steps with a target that counts, (steps,)."""
    scored = sequence.scored.reshape(len(sequence), -1).any(axis=1)
    return np.asarray(scored if sequence.weights is None else scored & (sequence.weights > 0))


@torch.no_grad()
def _states_before(
    network: RecurrentNetwork | PeerNetwork,
    sequences: tuple[Sequence, ...],
    pairs: tuple[Pair, ...],
    lags: int,
) -> Tensor:
    """The state after step T - lags of each pair, (parts, pairs, hidden), streamed cold."""
    used = sorted({pair.sequence for pair in pairs})
    stop = max(pair.step for pair in pairs) - lags + 1
    inputs = pad([sequences[index].cut(0, stop) for index in used]).inputs.double()
    state = zero_state(network, len(used))
    found = zero_state(network, len(pairs))
    for step, x in enumerate(inputs):
        state = next_state(network, x, state)
        for lane, pair in enumerate(pairs):
            if pair.step - lags == step:
                found[:, lane] = state[:, used.index(pair.sequence)]
    return found


def _norms(
    network: RecurrentNetwork | PeerNetwork, objective: Objective, windows: Batch, state: Tensor
) -> Array:
    """Norms by lag, (pairs, lags + 1), of windows that end at T, from the state before them."""
    states = [state.requires_grad_()]
    for x in windows.inputs.double():
        states.append(next_state(network, x, states[-1]))
    values = read_out(network, states[-1])[None]
    # Every lane has a loss of its own: the sum's gradient is each lane's.
    loss = objective.score(values, _last_step(windows)).loss
    gradients = torch.autograd.grad(loss, states)
    # (lags + 1, pairs), from lag 0 on
    norms = torch.stack([gradient.pow(2).sum(dim=(0, 2)).sqrt() for gradient in gradients[::-1]])
    return np.asarray(norms.T.numpy())


def _last_step(windows: Batch) -> Batch:
    targets = windows.targets[-1:]
    return Batch(
        inputs=windows.inputs[-1:],
        targets=targets.double() if targets.is_floating_point() else targets,
        real=windows.real[-1:],
        weights=windows.weights[-1:].double(),
    )
