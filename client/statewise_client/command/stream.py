"""`statewise stream`: one recording as a live stream, a line a step."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from statewise_client.blocking import Stream
from statewise_client.command import blobs, connection, recording
from statewise_client.command.latency import Latency
from statewise_client.command.lines import FORMATS
from statewise_client.command.pace import pace_of
from statewise_client.command.table import Entity, Selection
from statewise_client.errors import ChunkRefused, InputError, StatewiseError
from statewise_client.reconnect import RESUME_SECONDS

_DESCRIPTION = """\
Sends a recording to a server step by step, as a sensor would, and prints a line for each step as
soon as its outputs are back. Speed and latency follow on stderr at the end.

The columns of a table are picked by the names of the model's features; others are left unused. An
.npy file holds (steps, features) in the model's order. Parquet needs pyarrow.

A stream whose connection breaks, or whose server dies, goes on by itself as soon as a server is
there; no line is missing, none comes twice. With --state-out the stream's state goes into a file at
the end, and --state-in begins another stream with it.

examples:
  statewise stream --target localhost:8500 --model activity --input recording.csv
  sensor | statewise stream --model activity --input -
  statewise stream --model activity --input all.parquet --entity recording=17 --realtime
  sensor | statewise stream --target a:8500 --target b:8500 --model activity --input -
  statewise stream --model activity --input monday.csv --state-out monday.state
  statewise stream --model activity --input tuesday.csv --state-in monday.state
  statewise stream --model activity --input rest.csv --stream-id pump-7 --resume
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
    add("--model", required=True, metavar="NAME", help="the model's name on the server")
    add("--version", default="", metavar="V", help="its version (the newest)")
    add("--stream-id", default="", metavar="ID", help="id of the stream (one is made)")
    add("--input", required=True, metavar="FILE", help=".csv, .parquet, .npy; - is CSV on stdin")
    add("--entity", metavar="COLUMN=VALUE", help="only the rows where COLUMN is VALUE")
    add("--order", metavar="COLUMN", help="refuse rows in which COLUMN does not rise")
    add("--realtime", action="store_true", help="send steps at the pace of the model's data")
    add("--chunk", type=int, default=1, metavar="N", help="steps in a message (1)")
    add("--format", choices=tuple(FORMATS), default="text", help="of the lines (text)")
    _add_states(parser)
    connection.add_to(parser)


def _add_states(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("state")
    add = group.add_argument
    add("--resume", action="store_true", help="go on with the stream of --stream-id")
    add("--replace", action="store_true", help="in place of one that is kept under the same id")
    add("--ephemeral", action="store_true", help="never stored: ends with its connection")
    add("--state-in", metavar="FILE", help="begin with this state; - is stdin")
    add("--state-out", metavar="FILE", help="where the state goes at the end")
    add(
        "--resume-timeout",
        type=float,
        default=RESUME_SECONDS,
        metavar="S",
        help=f"seconds for which a broken stream tries to go on ({RESUME_SECONDS:g}); 0 ends it",
    )


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
    _check_states(options)
    with (
        recording.opened(options.input, selection) as for_features,
        connection.client(options, options.resume_timeout) as client,
        client.open(
            options.model,
            options.version,
            options.stream_id,
            resume=options.resume,
            initial_state=blobs.load(options.state_in) if options.state_in else b"",
            ephemeral=options.ephemeral,
            replace=options.replace,
        ) as stream,
    ):
        latency = Latency()
        with _nothing_left(stream, latency, options):
            found = for_features(stream.info.features)
            if found.unused:
                _note_unused(found.unused, entity)
            _play(stream, found.steps, options, latency)
        taken = stream.close(return_state=options.state_out is not None) - stream.info.steps
        if options.state_out is not None:
            blobs.store(options.state_out, stream.state)
        print(latency.summary(taken), file=sys.stderr)
    return 0


@contextmanager
def _nothing_left(stream: Stream, latency: Latency, options: argparse.Namespace) -> Iterator[None]:
    """Closes a stream that a mistake ends before its first step: nobody would ever go on with it.

    One that was kept before is left as it is.
    """
    try:
        yield
    except (InputError, ChunkRefused) as mistake:
        is_new = not (latency.chunks or options.resume or stream.is_over)
        if is_new and getattr(mistake, "outputs", None) is None:
            with suppress(StatewiseError):
                stream.close()
        raise


def _note_unused(columns: Sequence[str], entity: Entity | None) -> None:
    note = f"note: columns left unused: {', '.join(columns)}"
    if entity is None:
        note += "; all rows go as one stream (--entity COLUMN=VALUE takes those of one recording)"
    print(note, file=sys.stderr)


def _check_states(options: argparse.Namespace) -> None:
    """Which options go together, asked before a server is asked for a stream."""
    if options.resume and not options.stream_id:
        raise InputError("--resume needs --stream-id; name the stream that is to go on")
    for name in ("state_in", "replace", "ephemeral"):
        if options.resume and getattr(options, name):
            option = name.replace("_", "-")
            raise InputError(f"--resume goes on with what is kept; leave --{option} out")
    if options.state_out == blobs.STDOUT:
        raise InputError("--state-out -: the lines go to stdout; name a file")
    if options.state_in == options.input == blobs.STDIN:
        raise InputError("--state-in -: the steps come from stdin; name a file")
    if options.state_out is not None:
        blobs.check(options.state_out)


def _play(
    stream: Stream,
    steps: Iterator[NDArray[np.generic]],
    options: argparse.Namespace,
    latency: Latency,
) -> None:
    pace = pace_of(stream.info, realtime=options.realtime)
    write = FORMATS[options.format](stream.info, sys.stdout)
    taken, before = 0, stream.info.steps
    while chunk := list(islice(steps, options.chunk)):
        pace.wait_for(taken)
        with latency.measure():
            outputs = stream.push(np.stack(chunk))
        for step, output in enumerate(outputs, start=before + taken + 1):
            write(step, output)
        # Whoever reads the lines wants each when it is there.
        sys.stdout.flush()
        taken += len(chunk)
