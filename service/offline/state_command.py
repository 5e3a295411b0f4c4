"""The command `python -m service state`: what is done with files of states.

Owns its words and options. What it does is imported when it is asked for.
"""

import argparse
import asyncio
from pathlib import Path

_DESCRIPTION = """\
Loads the states that `score --state-out` has written into a store, where servers with the same
--state-store find them: a stream that resumes under an entity's key goes on behind the entity's
last row, with the bits that it would have had if all had been streamed.

example:
  python -m service state load states.parquet --state-store sqlite:states.db
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to a command line."""
    state = commands.add_parser("state", help="what is done with files of states")
    actions = state.add_subparsers(required=True, metavar="ACTION")
    load = actions.add_parser(
        "load",
        help="load states into a store",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    load.add_argument("path", type=Path, metavar="STATES.parquet", help="the file of states")
    load.add_argument(
        "--state-store",
        required=True,
        metavar="URL",
        help="sqlite:PATH or redis://HOST:PORT/DB, as the servers have it",
    )
    load.add_argument(
        "--owner",
        default="",
        metavar="NAME",
        help="who may resume the streams, where the servers know their callers",
    )
    load.add_argument(
        "--replace", action="store_true", help="overwrite streams that are kept there already"
    )
    load.set_defaults(run=_load)


def _load(options: argparse.Namespace) -> int:
    from service.offline.handover import load

    given = {"owner": options.owner, "overwrite": options.replace}
    print(asyncio.run(load(options.path, options.state_store, **given)))
    return 0
