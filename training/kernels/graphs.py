"""The loops over steps recorded as CUDA graphs, and played back in one launch.

A loop of torch operations launches some ten small kernels a step, and a GPU waits for each launch
longer than it computes. A graph is launched once for all steps. It works on the arrays that it was
recorded with, so that a run's arrays are copied in before it plays, and out behind it.

Owns when a loop is recorded, and the copies. What is recorded is another implementation's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from training.kernels.loops import Loops, Run
from training.recurrence import Boundaries, LayerWeights

# Records work that is done on arrays which stay where they are; gives what plays it back.
Capture = Callable[[Callable[[], None]], Callable[[], None]]
# A recording takes as long as several plain runs: a form has to come again to be worth it.
_RUNS_BEFORE_RECORDING = 2
# Each holds the arrays of a run of its own.
_MOST_RECORDINGS = 16


class GraphedLoops:
    """Another implementation's loops, recorded for those forms of a run that come again.

    A form is the shapes, the cell and whether there are boundaries. Forms that are rare, as of
    whole sequences of all lengths, run as they are.
    """

    def __init__(self, inner: Loops, capture: Capture | None = None) -> None:
        """Takes what is recorded, and how; None is by torch's CUDA graphs."""
        self._inner = inner
        self._capture = capture or capture_cuda
        self._seen: Counter[Any] = Counter()
        self._recorded: dict[Any, _Recording] = {}

    def forward(self, run: Run) -> None:
        """See Loops."""
        form = _form(run)
        self._seen[form] += 1
        again = self._seen[form] > _RUNS_BEFORE_RECORDING
        if again and form not in self._recorded and len(self._recorded) < _MOST_RECORDINGS:
            self._recorded[form] = _Recording(self._inner, self._capture, run)
        recording = self._recorded.get(form)
        if recording is None:
            self._inner.forward(run)
        else:
            recording.forward(run)

    def backward(self, run: Run, gradient: Tensor) -> Tensor:
        """See Loops."""
        recording = self._recorded.get(_form(run))
        if recording is None:
            return self._inner.backward(run, gradient)
        return recording.backward(run, gradient)

    def sum_outer_products(self, left: Tensor, right: Tensor) -> Tensor:
        """See Loops."""
        return self._inner.sum_outer_products(left, right)


class _Recording:
    """Both loops for runs of one form."""

    def __init__(self, inner: Loops, capture: Capture, run: Run) -> None:
        """Makes arrays of its own like those of a run."""
        self._inner = inner
        self._capture = capture
        # Outside of inference mode: arrays made there can't be written to elsewhere.
        with torch.inference_mode(False):
            self._own = _copied(run)
            self._gradient = torch.zeros_like(run.states[1:])
            self._carried = torch.zeros_like(run.states[0])
        self._play_forward: Callable[[], None] | None = None
        self._play_backward: Callable[[], None] | None = None

    def forward(self, run: Run) -> None:
        own = self._own
        if self._play_forward is None:
            self._play_forward = self._capture(lambda: self._inner.forward(own))
        _copy_given(run, own)
        own.inputs.copy_(run.inputs)
        own.states[0] = run.states[0]
        self._play_forward()
        for name in ("gates", "states", "products"):
            getattr(run, name).copy_(getattr(own, name))

    def backward(self, run: Run, gradient: Tensor) -> Tensor:
        own = self._own
        if self._play_backward is None:
            self._play_backward = self._capture(self._run_backward)
        _copy_given(run, own)
        # Another run of this form may have been here since: a second layer's, for one.
        for name in ("gates", "states", "products"):
            getattr(own, name).copy_(getattr(run, name))
        self._gradient.copy_(gradient)
        self._play_backward()
        run.gates.copy_(own.gates)
        run.products.copy_(own.products)
        return self._carried.clone()

    def _run_backward(self) -> None:
        self._carried.copy_(self._inner.backward(self._own, self._gradient))


def capture_cuda(work: Callable[[], None]) -> Callable[[], None]:
    """Records work as a CUDA graph."""
    # What libraries set up at their first use can't be recorded, and so is done before.
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _form(run: Run) -> tuple[Any, ...]:
    weights = run.weights
    given = (run.boundaries is None, weights.bias is None, weights.candidate_bias is None)
    place = (run.inputs.dtype, run.inputs.device)
    return (run.inputs.shape, run.hidden, weights.reset_after, *given, *place)


def _copied(run: Run) -> Run:
    """A run of arrays of its own, with the same values."""
    weights, boundaries = run.weights, run.boundaries
    own: dict[str, Any] = {name: each.clone() for name, each in _tensors(weights)}
    if boundaries is not None:
        boundaries = Boundaries(boundaries.starts.clone(), boundaries.real.clone())
    return replace(
        run,
        weights=replace(weights, **own),
        boundaries=boundaries,
        inputs=run.inputs.clone(),
        # The run's own are not filled yet.
        gates=torch.zeros_like(run.gates),
        states=torch.zeros_like(run.states),
        products=torch.zeros_like(run.products),
    )


def _copy_given(run: Run, own: Run) -> None:
    """Copies what both loops are given: weights and boundaries."""
    for name, weight in _tensors(run.weights):
        getattr(own.weights, name).copy_(weight)
    if run.boundaries is not None and own.boundaries is not None:
        own.boundaries.starts.copy_(run.boundaries.starts)
        own.boundaries.real.copy_(run.boundaries.real)


def _tensors(weights: LayerWeights) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in vars(weights).items() if isinstance(value, Tensor)]
