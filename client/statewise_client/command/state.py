"""`statewise state`: the states of streams, taken out, put in, copied, ended, listed."""

import argparse
import json
from collections.abc import Callable

from statewise_client.blocking import Client
from statewise_client.command import blobs, connection
from statewise_client.errors import InputError
from statewise_client.state import StreamSummary

_DESCRIPTION = """\
Works on what a stream has to remember, whether a call advances it now or the server only keeps it.
A state goes into a file of its own, and from there into a stream of the same model, here or on
another server.

examples:
  statewise state list
  statewise state export pump-7 --output pump-7.state
  statewise state import pump-7.state --stream-id pump-8 --target other:8500
  statewise state fork pump-7 pump-7-what-if
  statewise state close pump-7
"""
_ID = "of the stream, as `statewise state list` prints it"
_Act = Callable[[Client, argparse.Namespace], None]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    parser = commands.add_parser(
        "state",
        help="export, import, fork, close or list the states of streams",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(required=True, metavar="ACT")

    export = _add(acts, "export", _export, "write a stream's state to a file; the stream goes on")
    export.add_argument("stream_id", metavar="ID", help=_ID)
    export.add_argument("--output", required=True, metavar="FILE", help="- is stdout")

    put = _add(acts, "import", _import, "keep a state from a file; prints its stream's id")
    put.add_argument("file", metavar="FILE", help="- is stdin")
    put.add_argument("--stream-id", default="", metavar="ID", help="(the server makes one)")
    put.add_argument("--replace", action="store_true", help="in place of one with the same id")

    fork = _add(acts, "fork", _fork, "keep a stream's state under another id; prints the id")
    fork.add_argument("stream_id", metavar="ID", help=_ID)
    fork.add_argument("new", nargs="?", default="", metavar="NEW", help="(the server makes one)")

    close = _add(acts, "close", _close, "end a stream; whoever advances it is told")
    close.add_argument("stream_id", metavar="ID", help=_ID)
    close.add_argument("--output", metavar="FILE", help="where its last state goes; - is stdout")

    listing = _add(acts, "list", _list, "print the streams that are live or kept, by id")
    listing.add_argument("--all-owners", action="store_true", help="those of others as well")
    listing.add_argument("--format", choices=("text", "jsonl"), default="text", help="(text)")


def run(options: argparse.Namespace) -> int:
    """Asks the server.

    Raises:
        StatewiseError: as the client does, and InputError for a file that can't be used.
    """
    if getattr(options, "output", None):
        blobs.check(options.output)
    if "file" not in options and getattr(options, "stream_id", None) == "":
        raise InputError("ID is empty; name a stream, such as `statewise state list` prints")
    act: _Act = options.act
    with connection.client(options) as client:
        act(client, options)
    return 0


def _add(
    acts: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, act: _Act, what: str
) -> argparse.ArgumentParser:
    parser = acts.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.set_defaults(run=run, act=act)
    connection.add_to(parser)
    return parser


def _export(client: Client, options: argparse.Namespace) -> None:
    blobs.store(options.output, client.export_state(options.stream_id))


def _import(client: Client, options: argparse.Namespace) -> None:
    state = blobs.load(options.file)
    print(client.import_state(state, options.stream_id, replace=options.replace).stream_id)


def _fork(client: Client, options: argparse.Namespace) -> None:
    print(client.fork(options.stream_id, options.new).stream_id)


def _close(client: Client, options: argparse.Namespace) -> None:
    wanted = options.output is not None
    ended = client.close_stream(options.stream_id, return_state=wanted)
    if wanted:
        blobs.store(options.output, ended.state)
    if options.output != blobs.STDOUT:
        print(ended.steps, "steps taken")


def _list(client: Client, options: argparse.Namespace) -> None:
    write = _object if options.format == "jsonl" else _line
    if options.format == "text":
        print(f"{'stream':<24} {'model':<20} {'chunks':>9} {'steps':>10}  {'now':<5} stored")
    for summary in client.list_streams(all_owners=options.all_owners):
        print(write(summary))


def _line(summary: StreamSummary) -> str:
    model = f"{summary.model}/{summary.version}"
    now = "live" if summary.live else "kept"
    stored = "-" if summary.stored is None else f"{summary.stored:%Y-%m-%d %H:%M:%SZ}"
    owner = f"  {summary.owner}" if summary.owner else ""
    return (
        f"{summary.stream_id:<24} {model:<20} {summary.sequence:>9} {summary.steps:>10}  "
        f"{now:<5} {stored}{owner}"
    )


def _object(summary: StreamSummary) -> str:
    stored = None if summary.stored is None else summary.stored.isoformat()
    return json.dumps(vars(summary) | {"stored": stored})
