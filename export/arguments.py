"""The command line of `python -m export`.

Owns options, help texts and examples. Knows nothing of what the commands do.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import get_args

from training.console import Parser
from training.reference import Activation

# Those of a training configuration: above them a machine's memory ends, not a network's use.
_MOST_NUMBERS, _MOST_LAYERS = 16_384, 64
_DESCRIPTION = """\
Turns a training run into one self-contained model.onnx, and proves it before anything is written:
its weights, its outputs and states against a float64 reference, and every batch company and every
chunking against each other. Prints what was compared, the worst error and where.

Exits 0 where it is proven, 1 where a check failed, 2 on a mistake in the command or a file; the
output file is then as it was before.
"""
_EXAMPLE = """\
example:
  python -m export --run runs/activity --out models/activity/1/model.onnx
"""
_VALIDATE_DESCRIPTION = """\
Proves artefacts again, wherever they are: needs neither the run nor torch. The reference gets its
weights from the file itself. Exits 0, 1 or 2 as the export does, and writes nothing.
"""
_VALIDATE_EXAMPLE = """\
example:
  python -m export validate models/activity/1/model.onnx
"""
_RANDOM_DESCRIPTION = """\
Makes and proves an artefact with random weights, to try a server with, or to measure one.
"""
_RANDOM_EXAMPLE = """\
example:
  python -m export random --features 32 --hidden 128 --layers 2 --outputs 8 \\
      --out models/random/1/model.onnx
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` is "export", "validate" or "random"."""
    export: argparse.ArgumentParser = Parser(
        prog="python -m export",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.set_defaults(command="export")
    export.add_argument(
        "--run", type=Path, metavar="FOLDER", help="the training run, such as runs/activity"
    )
    _add_output(export)
    others = export.add_subparsers(
        title="other commands, each with its own --help", metavar="COMMAND"
    )
    _add_validate(others)
    _add_random(others)
    return export


def _add_output(command: argparse.ArgumentParser) -> None:
    """Options of the commands that write an artefact."""
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the artefact goes, such as models/activity/1/model.onnx; folders are made",
    )
    command.add_argument(
        "--quantize",
        choices=["int8"],
        help="compute the products with states in 8-bit integers, for 256 units a layer and more; "
        "what it costs is measured, stands in the report, and is refused above 25%% of an output's "
        "range (default: float32)",
    )
    command.add_argument(
        "--sequence-form",
        type=Path,
        metavar="FILE",
        help="also write the form that takes whole sequences, for other runtimes",
    )
    command.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="PNG of the error by step (default: validation.png in the run's folder, if there is "
        "one); with --sequence-form a second one, its name ending in _sequence",
    )


def _add_validate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    validate = commands.add_parser(
        "validate",
        help="prove artefacts again",
        description=_VALIDATE_DESCRIPTION,
        epilog=_VALIDATE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    validate.set_defaults(command="validate")
    validate.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="a model.onnx")


def _add_random(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    random = commands.add_parser(
        "random",
        help="make an artefact with random weights",
        description=_RANDOM_DESCRIPTION,
        epilog=_RANDOM_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    random.set_defaults(command="random")
    for size, meaning in (
        ("features", "numbers in an input step"),
        ("hidden", "numbers in a layer's state"),
        ("layers", "recurrent layers"),
        ("outputs", "numbers in an output step"),
    ):
        most = _MOST_LAYERS if size == "layers" else _MOST_NUMBERS
        random.add_argument(
            f"--{size}", type=partial(_count, most), required=True, metavar="N", help=meaning
        )
    random.add_argument(
        "--reset-after",
        action="store_true",
        help="the cell form of PyTorch and Keras (default: reset before the candidate's matrix)",
    )
    random.add_argument("--no-bias", dest="bias", action="store_false", help="layers without bias")
    random.add_argument(
        "--activation", choices=get_args(Activation), default="softmax", help="(softmax)"
    )
    random.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the weights (0)")
    random.add_argument("--name", default="random", help="the model's name (random)")
    _add_output(random)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _count(most: int, text: str) -> int:
    """A whole number above zero; argparse puts the option's name before the message."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)
