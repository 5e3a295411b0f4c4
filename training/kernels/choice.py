"""Which implementation of the loops runs.

Owns the choice, and nothing of the loops.
"""

from functools import cache

import torch
from torch import Tensor

from training.kernels.graphs import GraphedLoops
from training.kernels.library import find_library
from training.kernels.loops import CompiledLoops, Loops, TorchLoops


def choose_loops(sample: Tensor, narrow: torch.dtype | None = None) -> Loops:
    """The fastest loops for tensors such as this one, with products of the type `narrow`."""
    if sample.device.type == "cuda":
        return _graphed(narrow)
    library = None
    if narrow is None and sample.dtype == torch.float32:
        library = find_library()
    return TorchLoops(narrow) if library is None else CompiledLoops(library)


@cache
def _graphed(narrow: torch.dtype | None) -> GraphedLoops:
    """One for the process: it keeps what it records."""
    return GraphedLoops(TorchLoops(narrow))
