"""The gradient of a recurrent layer by hand, as a function of torch's automatic differentiation.

Owns what can be formed for all steps at once: the input's product, and every weight's gradient,
each one matrix product over (steps * batch). What stands between two steps is in `loops`. The
equations are those of GRU.md; `recurrence` holds the plain loop that this is checked against.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training.kernels.choice import choose_loops
from training.kernels.loops import Loops, Run
from training.recurrence import Boundaries, LayerWeights

_TENSORS = ("inputs", "gates", "candidate", "bias", "candidate_bias")


def run_by_hand(
    inputs: Tensor,
    state: Tensor,
    weights: LayerWeights,
    boundaries: Boundaries | None = None,
    loops: Loops | None = None,
) -> Tensor:
    """Runs a layer; arguments and result are those of `recurrence.run_plain`.

    Memory for the gradient is used up by the first backward pass.

    Args:
        inputs: (steps, batch, input).
        state: before the first step, (batch, hidden).
        weights: the layer's.
        boundaries: where sequences begin and end; None where all go through.
        loops: the implementation; None chooses the fastest, with products of autocast's type
            where that is on.

    Returns:
        The state after each step, (steps, batch, hidden).
    """
    tensors = (getattr(weights, name) for name in _TENSORS)
    kind = inputs.device.type
    narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    loops = loops or choose_loops(inputs, narrow)
    # The loops narrow their products themselves, backwards too, where autocast does not reach.
    with torch.autocast(kind, enabled=False):
        states: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
            loops, boundaries, weights.reset_after, inputs, state, *tensors
        )
    return states


class _Layer(torch.autograd.Function):
    """Forward and backward over all steps."""

    @staticmethod
    def forward(
        ctx: Any,
        loops: Loops,
        boundaries: Boundaries | None,
        reset_after: bool,
        inputs: Tensor,
        state: Tensor,
        *tensors: Tensor | None,
    ) -> Tensor:
        """The states, (steps, batch, hidden)."""
        named: dict[str, Any] = dict(
            zip(_TENSORS, (_contiguous(tensor) for tensor in tensors), strict=True)
        )
        weights = LayerWeights(**named, reset_after=reset_after)
        steps, (batch, hidden) = len(inputs), state.shape
        run = Run(
            weights,
            boundaries,
            inputs.contiguous(),
            gates=inputs.new_empty(steps, batch, 3 * hidden),
            states=inputs.new_empty(steps + 1, batch, hidden),
            products=inputs.new_empty(steps, batch, hidden),
        )
        run.states[0] = state
        loops.forward(run)
        ctx.save_for_backward(inputs, *tensors)
        ctx.loops, ctx.run = loops, run
        return run.states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients in the order of the arguments of `forward`."""
        # Raises if a weight was changed since.
        _ = ctx.saved_tensors
        run: Run | None = ctx.run
        if run is None:
            raise RuntimeError("the memory for this gradient was used up by a backward pass before")
        ctx.run = None
        d_state = ctx.loops.backward(run, gradient)
        d_inputs = run.gates @ run.weights.inputs if ctx.needs_input_grad[3] else None
        return None, None, None, d_inputs, d_state, *_weight_gradients(run, ctx.loops)


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _weight_gradients(run: Run, loops: Loops) -> tuple[Tensor | None, ...]:
    """Of a layer's weights, in their order, after the backward loop."""
    hidden = run.hidden
    # (steps * batch, 3 * hidden)
    d_gates = run.gates.flatten(0, 1)
    before, products = _states_before(run).flatten(0, 1), run.products.flatten(0, 1)
    if run.weights.reset_after:
        # dU_c = sum_t dq_t^T h_{t-1}
        d_candidate = loops.sum_outer_products(products, before)
    else:
        # dU_c = sum_t da_c^T (r_t * h_{t-1})
        d_candidate = loops.sum_outer_products(d_gates[:, 2 * hidden :], products)
    return (
        # dW_g = sum_t da_g^T x_t
        loops.sum_outer_products(d_gates, run.inputs.flatten(0, 1)),
        loops.sum_outer_products(d_gates[:, : 2 * hidden], before),
        d_candidate,
        None if run.weights.bias is None else d_gates.sum(0),
        None if run.weights.candidate_bias is None else products.sum(0),
    )


def _states_before(run: Run) -> Tensor:
    """The state that each step started from, (steps, batch, hidden)."""
    states = run.states[:-1]
    return states if run.boundaries is None else run.boundaries.entering_all(states)
