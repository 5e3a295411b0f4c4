"""A fit's figures for TensorBoard, beside the lines of the log.

Owns the event file: written anew at every epoch from the figures of all, as the log is, so that a
fit that went on after a kill leaves no figure twice.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from training.epoch import EpochFigures


def write_events(folder: Path, epochs: Sequence[EpochFigures]) -> None:
    """Replaces a folder's events by the figures of some epochs, each under its own name.

    Raises:
        OSError: the folder can't be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if not epochs:
        return
    # Slow to load, and of no use to who only reads a configuration.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for figures in epochs:
        values = [Summary.Value(tag=n, simple_value=v) for n, v in figures.line().items()]
        writer.add_event(Event(step=figures.epoch, summary=Summary(value=values)))
    writer.close()
