"""Several processes that fit one network together, as torchrun starts them.

Owns what one process has to know of the others: its lanes of every batch, and sums over all. Knows
nothing of networks. Every process draws the same batches and computes its lanes of them; gradients
are summed before each update, so that all hold the same weights at all times.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from training.recurrence import Boundaries
from training.sampling import Batch


@dataclass(frozen=True)
class Processes:
    """The processes of a fit.

    Attributes:
        rank: this one's number; 0 writes files and talks.
        count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and talks."""
        return self.rank == 0

    def lanes(self, count: int) -> slice:
        """This process's share of so many lanes."""
        return slice(self.rank * count // self.count, (self.rank + 1) * count // self.count)

    def share(self, batch: Batch) -> Batch:
        """This process's lanes of a batch."""
        if self.count == 1:
            return batch
        lanes = self.lanes(batch.real.shape[1])
        boundaries = batch.boundaries
        if boundaries is not None:
            boundaries = Boundaries(boundaries.starts[:, lanes], boundaries.real[:, lanes])
        return Batch(
            batch.inputs[:, lanes],
            batch.targets[:, lanes],
            batch.real[:, lanes],
            batch.weights[:, lanes],
            boundaries,
        )

    def add(self, value: Tensor) -> Tensor:
        """The sum over all processes; the same bits in each."""
        if self.count > 1:
            distributed.all_reduce(value)
        return value

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces every gradient by its sum over all processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, together.split(sizes), strict=True):  # type: ignore[no-untyped-call]
            gradient.copy_(part.view_as(gradient))

    def join_lanes(self, state: Tensor | None) -> Tensor | None:
        """All processes' lanes side by side, (layers, lanes, hidden), of each one's own."""
        if state is None or self.count == 1:
            return state
        parts: list[Tensor | None] = [None] * self.count
        distributed.all_gather_object(parts, state)
        return torch.cat([part for part in parts if part is not None], dim=1)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Lets the first process through the block before the others, which find what it made."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes that torchrun started; a process of its own has no others."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    distributed.init_process_group("gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
