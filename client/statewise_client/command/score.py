"""`statewise score`: a whole table through a server, many recordings at once.

Owns the order of its parts: a recording is read when a stream is free for it, and written when all
before it are. What is in memory is as many recordings as there are streams.
"""

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from statewise_client.aio import Client
from statewise_client.arrays import Float32
from statewise_client.command import answers, connection, recording
from statewise_client.command.answers import Answers
from statewise_client.command.entities import Recording, recordings
from statewise_client.command.files import STDIN, open_csv, open_parquet
from statewise_client.command.table import Selection
from statewise_client.errors import InputError
from statewise_client.protocol import StreamInfo

_DESCRIPTION = """\
Scores a table through a server: for teams that reach the service and not its files.

Each entity is a stream of its own, many at once, and each of its rows a step. The input, CSV or
Parquet, has to stand entity by entity, sorted by --order within; the output has the same rows with
the model's outputs. The bits are those of `python -m service score`, which is many times faster
where the model's file is at hand.

example:
  statewise score --model activity --input steps.parquet --output answers.parquet \\
      --entity recording --order packet
"""
_IN_FLIGHT = 4
Done = tuple[Recording, Float32]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    parser = commands.add_parser(
        "score",
        help="score a table through a server, many streams at once",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    connection.add_to(parser)
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="the model's name on the server")
    add("--version", default="", metavar="V", help="its version (the newest)")
    add("--input", required=True, metavar="FILE", help=".csv or .parquet; - is CSV on stdin")
    add("--output", required=True, type=Path, metavar="FILE", help=".csv or .parquet")
    add("--entity", required=True, metavar="COLUMN", help="whose step a row is")
    add("--order", required=True, metavar="COLUMN", help="rises from step to step of an entity")
    add("--streams", type=int, default=64, metavar="N", help="entities at once (64)")
    add("--chunk", type=int, default=256, metavar="N", help="steps in a message (256)")


def run(options: argparse.Namespace) -> int:
    """Scores the table.

    Raises:
        StatewiseError: as the client does, and InputError for a mistake in the table.
    """
    for name in ("streams", "chunk"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} is {getattr(options, name)}; give 1 or more")
    if options.input != STDIN and Path(options.input).suffix.lower() == ".npy":
        raise InputError(f"{options.input}: an array has no columns; give a .csv or .parquet table")
    recording.check(options.input, Selection())
    answers.check(options.output)
    try:
        asyncio.run(_score(options))
    except ExceptionGroup as failures:
        raise _first(failures) from None
    return 0


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """What went wrong first; the rest are streams that it cut off."""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, ExceptionGroup) else failure


async def _score(options: argparse.Namespace) -> None:
    started = time.perf_counter()
    kind = open_parquet if Path(options.input).suffix.lower() == ".parquet" else open_csv
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(options))
        async with client.open(options.model, options.version) as stream:
            info = stream.info
        table = stack.enter_context(kind(options.input))
        found = recordings(table, info.features, options.entity, options.order)
        out = stack.enter_context(
            answers.writing(options.output, info, options.entity, options.order)
        )
        entities, steps = await _stream_all(client, info, found, out, options)
    seconds = time.perf_counter() - started
    print(
        f"{steps:,} steps of {entities:,} entities in {seconds:.1f} s: {steps / seconds:,.0f} "
        f"steps/s, in {options.output}",
        file=sys.stderr,
    )


def _client(options: argparse.Namespace) -> Client:
    return Client(
        connection.targets(options),
        credentials=connection.credentials(options),
        token=connection.token(options),
    )


async def _stream_all(
    client: Client,
    info: StreamInfo,
    found: Iterator[Recording],
    out: Answers,
    options: argparse.Namespace,
) -> tuple[int, int]:
    """Streams recordings side by side; writes their answers in the recordings' order."""
    entities = steps = 0
    # The version that was asked at first, though another may come meanwhile.
    version = options.version or info.version
    async with asyncio.TaskGroup() as group:
        waiting: deque[asyncio.Task[Done]] = deque()
        while True:
            for one in islice(found, max(0, options.streams - len(waiting))):
                waiting.append(group.create_task(_stream_one(client, version, one, options)))
            if not waiting:
                return entities, steps
            one, outputs = await waiting.popleft()
            out.add(one, outputs)
            entities, steps = entities + 1, steps + len(outputs)


async def _stream_one(
    client: Client, version: str, one: Recording, options: argparse.Namespace
) -> Done:
    chunks = [
        one.steps[start : start + options.chunk]
        for start in range(0, len(one.steps), options.chunk)
    ]
    async with client.open(options.model, version) as stream:
        outputs = [part async for part in stream.run(chunks, in_flight=_IN_FLIGHT)]
    return one, np.concatenate(outputs)
