"""Ray Data with the plain approach: map_batches over files of whole entities, a call an entity.

Owns what a user of Ray would write. Started as a process of its own: FOLDER MODEL OUTPUT.
"""

import logging
import sys
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import ray

from benchmarks.scoring.workload import ENTITY, ORDER


class Scorer:
    """One session an actor."""

    def __init__(self, model: str) -> None:
        """Opens it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """The answers to a file's rows."""
        names = [name for name in table.column_names if name not in (ENTITY, ORDER)]
        steps = np.stack([table[name].to_numpy() for name in names], axis=1)
        entities = table[ENTITY].to_numpy()
        starts = np.flatnonzero(np.append(True, entities[1:] != entities[:-1]))
        ends = np.append(starts[1:], len(steps))
        pieces = [self._score(steps[a:b]) for a, b in zip(starts, ends, strict=True)]
        answers = np.concatenate(pieces)
        columns = {f"output_{i}": answers[:, i] for i in range(answers.shape[1])}
        return pa.table({ENTITY: table[ENTITY], ORDER: table[ORDER], **columns})

    def _score(self, steps: Any) -> Any:
        source, lengths, state = self._session.get_inputs()
        feed = {
            source.name: steps[:, np.newaxis],
            lengths.name: np.array([len(steps)], np.int32),
            state.name: np.zeros((1, state.shape[1]), np.float32),
        }
        return self._session.run(None, feed)[0][:, 0]


def main(folder: str, model: str, output: str) -> None:
    """Scores every file of a folder into another."""
    # Two for the actors; without others the tasks that read and write would wait for ever.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.read_parquet(folder, override_num_blocks=16).map_batches(
        Scorer,
        fn_constructor_args=(model,),
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
        batch_size=None,
        batch_format="pyarrow",
    ).write_parquet(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
