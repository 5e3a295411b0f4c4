"""`statewise stream`: one recording as a live stream, a line a step."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from statewise_client.blocking import Client, Stream
from statewise_client.command import recording
from statewise_client.command.latency import Latency
from statewise_client.command.lines import FORMATS
from statewise_client.command.pace import pace_of
from statewise_client.command.table import Entity, Selection
from statewise_client.errors import InputError

_DESCRIPTION = """\
Sends a recording to a server step by step, as a sensor would, and prints a line for each step as
soon as its outputs are back. Speed and latency follow on stderr at the end.

The columns of a table are picked by the names of the model's features; others are left unused. An
.npy file holds (steps, features) in the model's order. Parquet needs pyarrow.

examples:
  statewise stream --target localhost:8500 --model activity --input recording.csv
  sensor | statewise stream --model activity --input -
  statewise stream --model activity --input all.parquet --entity recording=17 --realtime
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    parser = commands.add_parser(
        "stream",
        help="send a recording as a live stream, print a line a step",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--target", default="localhost:8500", metavar="HOST:PORT", help="(localhost:8500)")
    add("--model", required=True, metavar="NAME", help="the model's name on the server")
    add("--version", default="", metavar="V", help="its version (the newest)")
    add("--stream-id", default="", metavar="ID", help="id of the stream (the server makes one)")
    add("--input", required=True, metavar="FILE", help=".csv, .parquet, .npy; - is CSV on stdin")
    add("--entity", metavar="COLUMN=VALUE", help="only the rows where COLUMN is VALUE")
    add("--order", metavar="COLUMN", help="refuse rows in which COLUMN does not rise")
    add("--realtime", action="store_true", help="send steps at the pace of the model's data")
    add("--chunk", type=int, default=1, metavar="N", help="steps in a message (1)")
    add("--format", choices=tuple(FORMATS), default="text", help="of the lines (text)")


def run(options: argparse.Namespace) -> int:
    """Streams the recording.

    Raises:
        StatewiseError: as the client does, and InputError for a mistake in the recording.
    """
    if options.chunk < 1:
        raise InputError(f"--chunk is {options.chunk}; send at least 1 step a message")
    entity = None if options.entity is None else Entity.parse(options.entity)
    selection = Selection(entity, options.order)
    recording.check(options.input, selection)
    with (
        Client(options.target) as client,
        client.open(options.model, options.version, options.stream_id) as stream,
        recording.read(options.input, stream.info.features, selection) as found,
    ):
        if found.unused:
            print(f"note: columns left unused: {', '.join(found.unused)}", file=sys.stderr)
        latency = _play(stream, found.steps, options)
        print(latency.summary(stream.close()), file=sys.stderr)
    return 0


def _play(
    stream: Stream, steps: Iterator[NDArray[np.generic]], options: argparse.Namespace
) -> Latency:
    pace = pace_of(stream.info, realtime=options.realtime)
    write = FORMATS[options.format](stream.info, sys.stdout)
    latency = Latency()
    taken = 0
    while chunk := list(islice(steps, options.chunk)):
        pace.wait_for(taken)
        with latency.measure():
            outputs = stream.push(np.stack(chunk))
        for step, output in enumerate(outputs, start=taken + 1):
            write(step, output)
        # Whoever reads the lines wants each when it is there.
        sys.stdout.flush()
        taken += len(chunk)
    return latency
