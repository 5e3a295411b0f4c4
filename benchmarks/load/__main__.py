"""The command `python -m benchmarks.load`: one load on one server, a report as JSON.

A process of its own, so that it can have a core of its own.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.load.conversation import Conversation
from benchmarks.load.generator import Generator
from benchmarks.load.settings import LoadSettings, WireName

_DESCRIPTION = """\
Drives a server with streams that each send their next step when the last one is answered, or, with
--rate, when it is due, and prints steps, seconds, processor time and latency as one line of JSON.

example:
  python -m benchmarks.load --port 8500 --model activity --streams 64
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a load; returns 0, or 2 after a message where it could not be run."""
    options = _parser().parse_args(arguments)
    outputs: Path | None = vars(options).pop("outputs")
    try:
        generator = Generator(LoadSettings(**vars(options)))
        report = generator.run()
    except (BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if outputs:
        _write(outputs, generator.conversations, options.chunk_steps)
    print(json.dumps(asdict(report)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="(127.0.0.1)")
    parser.add_argument("--port", type=int, required=True, help="gRPC port of the server")
    parser.add_argument("--model", required=True, metavar="NAME", help="model to open")
    parser.add_argument("--streams", type=int, default=64, metavar="N", help="at once (64)")
    parser.add_argument(
        "--connections", type=int, default=1, metavar="N", help="that carry the streams (1)"
    )
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="write every output to FILE (.npz)"
    )
    _add_kind(parser)
    _add_time(parser)
    return parser


def _add_time(parser: argparse.ArgumentParser) -> None:
    """How long, how often, and who pays."""
    parser.add_argument(
        "--warmup-seconds", type=float, default=1.0, metavar="S", help="load not measured (1)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="load that is measured (5)"
    )
    parser.add_argument(
        "--server-pid", type=int, default=0, metavar="PID", help="whose processor time to read"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="N",
        help="steps a second, whatever is answered (0)",
    )


def _add_kind(parser: argparse.ArgumentParser) -> None:
    """What is spoken, and what is sent."""
    parser.add_argument(
        "--wire",
        choices=get_args(WireName),
        default="native",
        help="statewise.v1, or the Open Inference Protocol as a server streams it (native)",
    )
    parser.add_argument(
        "--features",
        type=int,
        default=32,
        metavar="N",
        help="of a step; native asks the server (32)",
    )
    parser.add_argument(
        "--chunk-steps",
        type=int,
        default=1,
        metavar="N",
        help="of a message, a divisor of 16; on the native wire only (1)",
    )
    parser.add_argument(
        "--surplus",
        type=int,
        default=0,
        metavar="N",
        help="callers beside the streams, whom a full server refuses; at a rate only (0)",
    )
    parser.add_argument(
        "--idle", action="store_true", help="open, take a step, fall silent; report the memory"
    )


def _write(path: Path, conversations: Sequence[Conversation], chunk_steps: int) -> None:
    """Writes the data of every result: array n is stream n, (steps, outputs)."""
    found = (len(one.outputs[0]) // 4 // chunk_steps for one in conversations if one.outputs)
    width = max(found, default=0)
    joined = (np.frombuffer(b"".join(one.outputs), "<f4") for one in conversations)
    counts = (len(one.outputs) * chunk_steps for one in conversations)
    shapes = zip(joined, counts, strict=True)
    np.savez(path, *(array.reshape(count, width) for array, count in shapes))


if __name__ == "__main__":
    sys.exit(main())
