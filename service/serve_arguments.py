"""The options of `python -m service serve`.

Owns their words. Each is a setting of the same name, whose default stands in `settings`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from service.callers.options import add_access
from service.logs import Format, Level

_SERVE = """\
Serves every model of a repository over gRPC.

The repository is a folder with <name>/<version>/model.onnx. Each model replays its golden vectors
first, and is refused where they don't come out right. Every option can be set in the environment
as well: --max-streams is STATEWISE_MAX_STREAMS. SIGTERM drains: streams that are kept in a file or
in Redis end their chunk and are sent to another server, all others get --drain-seconds to close; a
second one cuts them at once.

example:
  python -m service serve --model-repository models/ --port 8500
"""


def add_serve(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    run: Callable[[argparse.Namespace], int],
) -> None:
    """Adds the command, which runs `run`."""
    serve = commands.add_parser(
        "serve",
        help="serve models to streams over gRPC",
        description=_SERVE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--model-repository", type=Path, metavar="DIR", help="folder of models")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="gRPC port; 0 takes a free one (8500)")
    serve.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="Prometheus port; -1 for none (9100)"
    )
    serve.add_argument(
        "--provider",
        choices=("cpu", "cuda", "auto"),
        help="where models run; cuda fails to start where it isn't really there (cpu)",
    )
    serve.add_argument("--max-batch", type=int, metavar="N", help="streams of one call (256)")
    _add_limits(serve)
    _add_serve_times(serve)
    _add_serve_states(serve)
    _add_log(serve)
    add_access(serve)
    serve.set_defaults(run=run)


def _add_limits(serve: argparse.ArgumentParser) -> None:
    """How much there may be of what callers send."""
    serve.add_argument(
        "--max-streams",
        type=int,
        metavar="N",
        help="open streams a model; one costs about 30 KB and its state (10000)",
    )
    serve.add_argument(
        "--max-chunk-steps",
        type=int,
        metavar="N",
        help="steps of a chunk, which is in memory as a whole (8192)",
    )
    serve.add_argument(
        "--max-message-bytes",
        type=int,
        metavar="BYTES",
        help="of a request, which is in memory as a whole; gRPC's own default (4194304)",
    )


def _add_serve_times(serve: argparse.ArgumentParser) -> None:
    """Workers, and how long things may take."""
    serve.add_argument("--workers", type=int, metavar="N", help="processes on the port (1)")
    serve.add_argument(
        "--watch-seconds",
        type=float,
        metavar="S",
        help="look for new and changed versions so often; 0 never looks (0)",
    )
    serve.add_argument(
        "--unload-seconds",
        type=float,
        metavar="S",
        help="time for open streams of an unloaded version to close (60)",
    )
    serve.add_argument(
        "--sequence-idle-seconds",
        type=float,
        metavar="S",
        help="silence that ends a sequence, where its config.pbtxt says nothing (60)",
    )
    serve.add_argument(
        "--stream-idle-seconds",
        type=float,
        metavar="S",
        help="silence after which a native stream is kept and its call ended; 0 for none (0)",
    )
    serve.add_argument(
        "--drain-seconds", type=float, metavar="S", help="time to close after SIGTERM (25)"
    )


def _add_log(serve: argparse.ArgumentParser) -> None:
    """The log on standard error."""
    serve.add_argument(
        "--log-format", choices=get_args(Format), help="of the log on standard error (console)"
    )
    serve.add_argument(
        "--log-level",
        choices=get_args(Level),
        help="least that is written; debug has a line for each open and close (info)",
    )


def _add_serve_states(serve: argparse.ArgumentParser) -> None:
    """Where states are kept, how often and how long."""
    serve.add_argument(
        "--state-store",
        metavar="URL",
        help="where states are kept: memory:, sqlite:PATH or redis://HOST:PORT/DB, or rediss: "
        "with TLS (memory:)",
    )
    serve.add_argument(
        "--state-bytes",
        type=int,
        metavar="BYTES",
        help="of all states in the store, of which the oldest go first (1073741824)",
    )
    serve.add_argument(
        "--state-seconds",
        type=float,
        metavar="S",
        help="how long a stream that nobody advances is kept (3600)",
    )
    serve.add_argument(
        "--checkpoint-ms",
        type=float,
        metavar="MS",
        help="time between two checkpoints of a stream, in milliseconds (500)",
    )
    serve.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="N",
        help="steps after which a stream has a checkpoint before its time; 0 for none (0)",
    )
