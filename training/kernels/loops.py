"""What the loop over steps is asked for, and its two implementations.

Owns the seam between the gradient by hand (`function`) and the loops: `CompiledLoops` for float32
on the CPU, `TorchLoops` for all else. Both fill the same arrays, described at `Run`.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from training.kernels.library import Library, OuterProducts, Sequences
from training.recurrence import Boundaries, LayerWeights


@dataclass(frozen=True)
class Run:
    """One layer's arrays, all contiguous, of one dtype and device.

    Attributes:
        weights: the layer's.
        boundaries: where sequences begin and end; None where all go through.
        inputs: (steps, batch, input).
        gates: after the forward loop z, r, c; after the backward loop what flows back to before
            their activation, (steps, batch, 3 * hidden).
        states: before the first step, filled on entry, and after each,
            (steps + 1, batch, hidden).
        products: (steps, batch, hidden). Reset before: r h. Reset after: h U_c^T + d_c, and after
            the backward loop what flows back to it.
    """

    weights: LayerWeights
    boundaries: Boundaries | None
    inputs: Tensor
    gates: Tensor
    states: Tensor
    products: Tensor

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.gates.shape[0]

    @property
    def hidden(self) -> int:
        """Width of the state."""
        return self.states.shape[-1]

    def before(self, step: int) -> Tensor:
        """The state that a step starts from, (batch, hidden)."""
        state = self.states[step]
        return state if self.boundaries is None else self.boundaries.entering(state, step)


class Loops(Protocol):
    """The two loops over steps."""

    def forward(self, run: Run) -> None:
        """Fills gates, states and products."""

    def backward(self, run: Run, gradient: Tensor) -> Tensor:
        """Turns gates and products into what flows back to them.

        Args:
            run: as `forward` left it.
            gradient: of the loss by each state, (steps, batch, hidden).

        Returns:
            The gradient by the state before the first step, (batch, hidden).
        """

    def sum_outer_products(self, left: Tensor, right: Tensor) -> Tensor:
        """left^T right: of (rows, n) and (rows, m) to (n, m)."""


class CompiledLoops:
    """The loops of gru.cpp."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def forward(self, run: Run) -> None:
        """See Loops."""
        modes = _modes(run.boundaries)
        self._library.forward(_describe(run, modes, None, None))

    def backward(self, run: Run, gradient: Tensor) -> Tensor:
        """See Loops."""
        modes = _modes(run.boundaries)
        carried = torch.zeros_like(run.states[0])
        gradient = gradient.contiguous()
        self._library.backward(_describe(run, modes, gradient, carried))
        return carried

    def sum_outer_products(self, left: Tensor, right: Tensor) -> Tensor:
        """See Loops."""
        rows, (n, m) = len(left), (left.shape[1], right.shape[1])
        total = left.new_empty(n, m)
        strides, threads = (left.stride(0), right.stride(0)), torch.get_num_threads()
        arrays = (tensor.data_ptr() for tensor in (left, right, total))
        self._library.sum_outer_products(OuterProducts(rows, n, m, *strides, threads, *arrays))
        return total


def _modes(boundaries: Boundaries | None) -> Tensor | None:
    """What each step is to each row, in the bits of gru.cpp, (steps, batch)."""
    if boundaries is None:
        return None
    return boundaries.starts.to(torch.uint8) + 2 * (~boundaries.real).to(torch.uint8)


def _describe(
    run: Run, modes: Tensor | None, gradient: Tensor | None, carried: Tensor | None
) -> Sequences:
    """The arrays' addresses; the caller keeps the arrays."""
    weights, (_, rows, hidden) = run.weights, run.states.shape
    arrays = (
        modes,
        run.inputs,
        weights.inputs,
        weights.bias,
        weights.gates,
        weights.candidate,
        weights.candidate_bias,
        run.gates,
        run.states,
        run.products,
        gradient,
        carried,
    )
    addresses = [None if array is None else array.data_ptr() for array in arrays]
    sizes = (run.steps, rows, run.inputs.shape[-1], hidden, int(weights.reset_after))
    return Sequences(*sizes, torch.get_num_threads(), *addresses)


class TorchLoops:
    """The loops as torch operations: any dtype, any device."""

    def __init__(self, narrow: torch.dtype | None = None) -> None:
        """Takes the type that matrix products are formed in; None is that of the tensors."""
        self._narrow = narrow

    def forward(self, run: Run) -> None:
        """See Loops."""
        weights = self._narrowed(run.weights)
        # The input's product with all gates, for all steps at once.
        if self._narrow is None:
            torch.matmul(run.inputs, weights.inputs.T, out=run.gates)
        else:
            run.gates.copy_(self._multiply(run.inputs, weights.inputs.T))
        if weights.bias is not None:
            run.gates.add_(weights.bias)
        for step in range(run.steps):
            self._forward_step(run, weights, step)

    def _narrowed(self, weights: LayerWeights) -> LayerWeights:
        """The recurrent weights in the type of the products, once for all steps."""
        if self._narrow is None:
            return weights
        gates, candidate = weights.gates.to(self._narrow), weights.candidate.to(self._narrow)
        return replace(weights, gates=gates, candidate=candidate)

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Left right, in the tensors' own type."""
        if self._narrow is None:
            return left @ right
        return (left.to(self._narrow) @ right.to(self._narrow)).to(left.dtype)

    def _add_product(self, total: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Total + left right, in place."""
        if self._narrow is None:
            return total.addmm_(left, right)
        return total.add_(left.to(self._narrow) @ right)

    def _forward_step(self, run: Run, weights: LayerWeights, step: int) -> None:
        hidden = run.hidden
        before, products = run.before(step), run.products[step]
        both, c = run.gates[step, :, : 2 * hidden], run.gates[step, :, 2 * hidden :]
        self._add_product(both, before, weights.gates.T).sigmoid_()
        z, r = both.chunk(2, dim=-1)
        if weights.reset_after:
            products.copy_(self._multiply(before, weights.candidate.T))
            if weights.candidate_bias is not None:
                products.add_(weights.candidate_bias)
            c.addcmul_(r, products).tanh_()
        else:
            torch.mul(r, before, out=products)
            self._add_product(c, products, weights.candidate.T).tanh_()
        # z h + (1 - z) c, (batch, hidden)
        torch.lerp(c, before, z, out=run.states[step + 1])
        if run.boundaries is not None:
            run.states[step + 1] = run.boundaries.leaving(run.states[step + 1], before, step)

    def backward(self, run: Run, gradient: Tensor) -> Tensor:
        """See Loops."""
        weights = self._narrowed(run.weights)
        carried = torch.zeros_like(run.states[0])
        for step in reversed(range(run.steps)):
            carried = self._backward_step(run, weights, step, carried + gradient[step])
        return carried

    def _backward_step(
        self, run: Run, weights: LayerWeights, step: int, arriving: Tensor
    ) -> Tensor:
        """What flows back to the state before a step; the equations are those of GRU.md."""
        boundaries, hidden = run.boundaries, run.hidden
        before, products = run.before(step), run.products[step]
        gates = run.gates[step]
        z, r, c = gates.chunk(3, dim=-1)
        d_state = arriving
        if boundaries is not None:
            d_state = arriving.masked_fill(~boundaries.real[step, :, None], 0.0)
        da_c = d_state * (1 - z) * (1 - c * c)
        da_z = d_state * (before - c) * z * (1 - z)
        carried = d_state * z + (arriving - d_state)
        if weights.reset_after:
            da_r = da_c * products * r * (1 - r)
            products.copy_(da_c * r)
            self._add_product(carried, products, weights.candidate)
        else:
            d_product = self._multiply(da_c, weights.candidate)
            da_r = d_product * before * r * (1 - r)
            carried = carried.addcmul(d_product, r)
        torch.cat([da_z, da_r, da_c], dim=-1, out=gates)
        self._add_product(carried, gates[:, : 2 * hidden], weights.gates)
        return carried if boundaries is None else boundaries.entering(carried, step)

    def sum_outer_products(self, left: Tensor, right: Tensor) -> Tensor:
        """See Loops."""
        return self._multiply(left.T, right)
