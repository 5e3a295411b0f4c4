"""Recorded loops against plain ones, by a recorder that needs no GPU.

What it gives plays the work back on the arrays that it was recorded with, as a CUDA graph does: a
value that is not copied in or out shows.
"""

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from training.kernels.function import run_by_hand
from training.kernels.graphs import _MOST_RECORDINGS, GraphedLoops
from training.kernels.loops import Loops, Run, TorchLoops
from training.recurrence import Boundaries, LayerWeights

STEPS, LANES, WIDTH = 7, 5, 6


class Recorder:
    """Counts recordings and what is played back."""

    def __init__(self) -> None:
        self.recorded = 0
        self.played = 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        work()

        def play() -> None:
            self.played += 1
            work()

        return play


def draw(seed: int, *, after: bool, bounded: bool, bias: bool = True, steps: int = STEPS):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.5

    weights = LayerWeights(
        normal(3 * WIDTH, WIDTH).requires_grad_(),
        normal(2 * WIDTH, WIDTH).requires_grad_(),
        normal(WIDTH, WIDTH).requires_grad_(),
        normal(3 * WIDTH).requires_grad_() if bias else None,
        normal(WIDTH).requires_grad_() if bias and after else None,
        after,
    )
    flags = torch.rand(2, steps, LANES, generator=generator)
    boundaries = Boundaries(flags[0] < 0.2, flags[1] < 0.8) if bounded else None
    inputs, state = normal(steps, LANES, WIDTH), normal(LANES, WIDTH)
    return inputs.requires_grad_(), state.requires_grad_(), weights, boundaries


def two_layers(loops: Loops, seed: int, **form: bool) -> list[Tensor]:
    """Two layers of the same form, so that one comes between the other's two loops."""
    inputs, state, weights, boundaries = draw(seed, **form)
    _, above_state, above, _ = draw(seed + 100, **form)
    below = run_by_hand(inputs, state, weights, boundaries, loops)
    states = run_by_hand(below, above_state, above, boundaries, loops)
    (states * torch.arange(WIDTH)).sum().backward()
    leaves = [inputs, state, above_state]
    for each in (weights, above):
        leaves += [value for value in vars(each).values() if isinstance(value, Tensor)]
    return [below.detach(), states.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_recorded_loops_give_what_plain_ones_give(after: bool, bounded: bool, bias: bool) -> None:
    recorder = Recorder()
    loops = GraphedLoops(TorchLoops(), recorder)
    form = {"after": after, "bounded": bounded, "bias": bias}
    for seed in range(4):
        found = two_layers(loops, seed, **form)
        wanted = two_layers(TorchLoops(), seed, **form)
        assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    # Once each way, whatever the number of runs; the first two runs are played by nothing.
    assert recorder.recorded == 2
    assert recorder.played == 2 * 4 * 2 - 2 - 2


def test_a_form_that_is_rare_is_not_recorded() -> None:
    recorder = Recorder()
    loops = GraphedLoops(TorchLoops(), recorder)
    for steps in range(1, 30):
        inputs, state, weights, boundaries = draw(steps, after=False, bounded=True, steps=steps)
        run_by_hand(inputs, state, weights, boundaries, loops).sum().backward()
    assert recorder.recorded == 0


def test_recordings_are_limited_in_number() -> None:
    recorder = Recorder()
    loops = GraphedLoops(TorchLoops(), recorder)
    for steps in range(1, _MOST_RECORDINGS + 5):
        for _ in range(4):
            inputs, state, weights, boundaries = draw(1, after=False, bounded=False, steps=steps)
            run_by_hand(inputs, state, weights, boundaries, loops)
    assert recorder.recorded == _MOST_RECORDINGS


def test_a_form_first_seen_in_inference_mode_can_be_trained_on() -> None:
    loops = GraphedLoops(TorchLoops(), Recorder())
    for _ in range(4):
        with torch.inference_mode():
            inputs, state, weights, boundaries = draw(1, after=False, bounded=True)
            run_by_hand(inputs.clone(), state, weights, boundaries, loops)
    found = two_layers(loops, 7, after=False, bounded=True)
    wanted = two_layers(TorchLoops(), 7, after=False, bounded=True)
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_what_one_run_was_given_back_outlives_the_next() -> None:
    loops = GraphedLoops(TorchLoops(), Recorder())
    kept = []
    for seed in range(5):
        inputs, state, weights, boundaries = draw(seed, after=False, bounded=False)
        with torch.no_grad():
            plain = LayerWeights(*(getattr(weights, field.name) for field in fields(weights)))
            shape = (STEPS, LANES, WIDTH)
            states = inputs.new_empty(STEPS + 1, LANES, WIDTH)
            states[0] = state
            gates, products = inputs.new_empty(*shape[:2], 3 * WIDTH), inputs.new_empty(shape)
            run = Run(plain, boundaries, inputs, gates, states, products)
            loops.forward(run)
            carried = loops.backward(run, torch.ones(shape, dtype=torch.float64))
            kept.append((carried, carried.clone()))
    assert all(torch.equal(*pair) for pair in kept)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU for CUDA")
@pytest.mark.parametrize("after", [False, True])
def test_cuda_graphs_give_what_plain_loops_give(after: bool) -> None:
    loops = GraphedLoops(TorchLoops())
    for seed in range(4):
        inputs, state, weights, boundaries = draw(seed, after=after, bounded=True)
        moved = LayerWeights(
            **{
                name: value.detach().cuda().requires_grad_() if isinstance(value, Tensor) else value
                for name, value in vars(weights).items()
            }
        )
        assert boundaries is not None
        bounds = Boundaries(boundaries.starts.cuda(), boundaries.real.cuda())
        on_gpu = run_by_hand(inputs.detach().cuda(), state.detach().cuda(), moved, bounds, loops)
        on_gpu.sum().backward()
        on_cpu = run_by_hand(inputs, state, weights, boundaries, TorchLoops())
        on_cpu.sum().backward()
        torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-12)
        assert moved.gates.grad is not None
        torch.testing.assert_close(moved.gates.grad.cpu(), weights.gates.grad, rtol=0, atol=1e-10)
