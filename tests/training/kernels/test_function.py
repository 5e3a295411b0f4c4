"""The gradient by hand, through both loops, against the plain recurrence in float64."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from training.kernels.choice import choose_loops
from training.kernels.function import run_by_hand
from training.kernels.library import find_library
from training.kernels.loops import CompiledLoops, Loops, TorchLoops
from training.recurrence import Boundaries, LayerWeights, run_plain

# Sizes around what the compiled loops treat apart: a vector, a panel, a tile, a block of rows.
SIZES = [
    (1, 1, 1, 1),
    (5, 3, 4, 7),
    (7, 50, 3, 40),
    (9, 17, 5, 32),
    (4, 5, 30, 96),
    (300, 13, 2, 65),
]
# Both are sums of up to a few thousand products of float32 numbers of size 1.
FLOAT32_TOLERANCE = 4e-6
FLOAT64_TOLERANCE = 1e-12


def compiled() -> CompiledLoops:
    library = find_library()
    if library is None:
        pytest.fail("no C++ compiler: apt-get install g++")
    return CompiledLoops(library)


def make_case(
    size: tuple[int, int, int, int], *, after: bool, bias: bool, bounded: bool
) -> tuple[Tensor, Tensor, LayerWeights, Boundaries | None, Tensor]:
    steps, batch, inputs, hidden = size
    generator = torch.Generator().manual_seed(steps * 1000 + hidden)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = LayerWeights(
        draw(3 * hidden, inputs) * 0.3,
        draw(2 * hidden, hidden) * hidden**-0.5,
        draw(hidden, hidden) * hidden**-0.5,
        draw(3 * hidden) if bias else None,
        draw(hidden) if bias and after else None,
        after,
    )
    flags = torch.rand(2, steps, batch, generator=generator)
    boundaries = Boundaries(starts=flags[0] < 0.1, real=flags[1] < 0.8) if bounded else None
    states = draw(batch, hidden)
    return draw(steps, batch, inputs), states, weights, boundaries, draw(steps, batch, hidden)


def differentiate(
    case: tuple[Tensor, Tensor, LayerWeights, Boundaries | None, Tensor],
    dtype: torch.dtype,
    loops: Loops | None,
) -> dict[str, Tensor]:
    """States and all gradients; with the plain recurrence where no loops are given."""
    inputs, state, weights, boundaries, gradient = case
    leaves: dict[str, Tensor] = {"input": inputs, "state": state}
    values = {field.name: getattr(weights, field.name) for field in fields(weights)}
    leaves |= {name: value for name, value in values.items() if isinstance(value, Tensor)}
    leaves = {
        name: leaf.detach().clone().to(dtype).requires_grad_() for name, leaf in leaves.items()
    }
    args = (
        leaves["input"],
        leaves["state"],
        LayerWeights(**(values | {name: leaves[name] for name in leaves if name in values})),
        boundaries,
    )
    states = run_plain(*args) if loops is None else run_by_hand(*args, loops)
    torch.autograd.backward(states, gradient.to(dtype))
    results = {name: leaf.grad for name, leaf in leaves.items()}
    return {"states": states.detach()} | {n: g for n, g in results.items() if g is not None}


def assert_close(got: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        error = (value.double() - wanted[name]).abs().max() / (1.0 + wanted[name].abs().max())
        assert error <= tolerance, (name, float(error))


@pytest.mark.parametrize("bounded", [False, True], ids=["through", "bounded"])
@pytest.mark.parametrize("bias", [False, True], ids=["bare", "bias"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_states_and_gradients_are_those_of_the_plain_recurrence(
    size: tuple[int, int, int, int], after: bool, bias: bool, bounded: bool
) -> None:
    case = make_case(size, after=after, bias=bias, bounded=bounded)
    wanted = differentiate(case, torch.float64, None)
    by_torch = differentiate(case, torch.float64, TorchLoops())
    assert_close(by_torch, wanted, FLOAT64_TOLERANCE)
    by_kernel = differentiate(case, torch.float32, compiled())
    assert_close(by_kernel, wanted, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_bits_do_not_depend_on_threads_or_on_the_rows_beside(after: bool) -> None:
    inputs, state, weights, _, gradient = make_case(
        (20, 61, 5, 40), after=after, bias=True, bounded=False
    )
    case = inputs, state, weights, None, gradient
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = differentiate(case, torch.float32, compiled())
        torch.set_num_threads(2)
        two = differentiate(case, torch.float32, compiled())
    finally:
        torch.set_num_threads(threads)
    for name in ("states", "input", "state", "inputs", "gates", "candidate"):
        assert torch.equal(one[name], two[name]), name
    few = inputs[:, 7:10], state[7:10], weights, None, gradient[:, 7:10]
    part = differentiate(few, torch.float32, compiled())
    assert torch.equal(part["states"], one["states"][:, 7:10])


@pytest.mark.parametrize("loops", [compiled, TorchLoops])
def test_padding_that_holds_no_numbers_touches_nothing(loops: type[Loops]) -> None:
    inputs, state, weights, _, gradient = make_case(
        (6, 4, 3, 20), after=False, bias=True, bounded=False
    )
    real = torch.ones(6, 4, dtype=torch.bool)
    real[3:, 1] = False
    boundaries = Boundaries(starts=torch.zeros(6, 4, dtype=torch.bool), real=real)
    case = inputs, state, weights, boundaries, gradient
    clean = differentiate(case, torch.float32, loops())
    dirty = inputs.clone()
    dirty[3:, 1] = 1e30
    other = differentiate((dirty, *case[1:]), torch.float32, loops())
    assert torch.equal(clean["states"], other["states"])
    assert torch.equal(clean["gates"], other["gates"])
    assert torch.equal(clean["states"][5, 1], clean["states"][2, 1])


@pytest.mark.parametrize("loops", [compiled, TorchLoops])
def test_what_is_no_number_stays_visible(loops: type[Loops]) -> None:
    case = make_case((3, 2, 2, 20), after=False, bias=True, bounded=False)
    case[0][1, 1] = torch.nan
    states = differentiate(case, torch.float32, loops())["states"]
    assert states[1:, 1].isnan().all()
    assert states[:, 0].isfinite().all()


def test_a_second_backward_pass_is_refused() -> None:
    inputs, state, weights, _, gradient = make_case(
        (3, 2, 2, 4), after=False, bias=True, bounded=False
    )
    states = run_by_hand(inputs.requires_grad_(), state, weights)
    torch.autograd.backward(states, gradient, retain_graph=True)
    with pytest.raises(RuntimeError, match="used up"):
        torch.autograd.backward(states, gradient)


def test_only_float32_runs_compiled() -> None:
    assert isinstance(choose_loops(torch.zeros(1)), CompiledLoops)
    assert isinstance(choose_loops(torch.zeros(1, dtype=torch.float64)), TorchLoops)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("bounded", [False, True])
def test_autocast_narrows_the_products_and_nothing_else(after: bool, bounded: bool) -> None:
    inputs, state, weights, boundaries, gradient = make_case(
        (12, 6, 5, 40), after=after, bias=True, bounded=bounded
    )

    def run(narrow: bool) -> tuple[Tensor, Tensor]:
        leaf = weights.candidate.float().requires_grad_()
        values = {field.name: getattr(weights, field.name) for field in fields(weights)}
        single = {
            name: value.float() if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        copied = LayerWeights(**single | {"candidate": leaf})
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            states = run_by_hand(inputs.float(), state.float(), copied, boundaries)
        # Outside of autocast, as a fit does.
        states.backward(gradient.float())
        assert leaf.grad is not None
        return states.detach(), leaf.grad

    wide, narrow = run(narrow=False), run(narrow=True)
    for exact, rounded in zip(wide, narrow, strict=True):
        assert rounded.dtype == torch.float32
        # bfloat16 has 8 bits: products are off by 0.4%, and some of it adds up over steps.
        error = (exact - rounded).norm() / exact.norm()
        assert 1e-4 < error < 3e-2
