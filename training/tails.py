"""The test part of a finished run, as a table.

Owns the way back from a run to the steps that it was never fitted on, so that a service can be
streamed the same steps and scored on them.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from training.config import DataConfig
from training.data.sequences import Dataset, Sequence
from training.errors import DataError
from training.files import replacing
from training.fitted import load_fitted
from training.run_folder import RunFolder


def write_tails(folder: RunFolder, out: Path) -> int:
    """Writes the end of every sequence that the run was tested on.

    Args:
        folder: the run.
        out: a .parquet file. Its columns are named as in the run's data: entity, order, the
            features as float32 in the model's order, and the target as its label or its numbers;
            a missing target is null.

    Returns:
        Number of rows.

    Raises:
        CheckpointError: the run has no checkpoint that can be read.
        DataError: the data is not there any more, or not what the run was fitted on; or `out` is
            no .parquet file.
    """
    if out.suffix != ".parquet":
        raise DataError(f"--out {out}: the steps are Parquet; let its name end in .parquet")
    run = load_fitted(folder)
    table = pa.concat_tables(_rows(tail, run.dataset, run.config.data) for tail in run.split.test)
    with replacing(out) as temporary:
        pa.parquet.write_table(table, temporary)
    return int(table.num_rows)


def _rows(tail: Sequence, dataset: Dataset, config: DataConfig) -> pa.Table:
    columns = {config.entity: [tail.entity] * len(tail), config.order: tail.order}
    for index, channel in enumerate(dataset.features):
        columns[channel.name] = np.ascontiguousarray(tail.features[:, index])
    if config.kind == "class":
        labels = [dataset.labels[target] if target >= 0 else None for target in tail.targets]
        columns[config.targets[0]] = pa.array(labels, pa.string())
    else:
        for index, name in enumerate(config.targets):
            columns[name] = pa.array(tail.targets[:, index], from_pandas=True)
    return pa.table(columns)
