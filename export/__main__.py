"""The command `python -m export`: prove a fitted network as ONNX and write it.

Owns what the commands print and their exit codes: 0 proven, 1 a failed proof, 2 a mistake of the
user. Loads torch only to read a run, and matplotlib only to draw.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from export import arguments
from export.artifact import Artifact, prepare_path, read_artifact, seal, write_file
from export.errors import ExportError, UserError
from export.exporter import make_artifact, require
from export.forms import SEQUENCE, STEP, STEP_INT8, Form
from export.progress import show
from export.proof import THOROUGH, Proof, prove
from export.random_model import random_model, random_network
from export.report import stored, table
from protos.statewise.v1.manifest_pb2 import Cell, Manifest
from training.console import with_output
from training.run_folder import RunFolder
from training.trained import TrainedModel


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code, 130 for Ctrl-C."""
    try:
        return with_output(lambda: _run(words))
    except KeyboardInterrupt:
        return 130


def _run(words: Sequence[str] | None) -> int:
    parser = arguments.parser()
    options = parser.parse_args(words)
    if options.command == "validate":
        return max(_validate(path) for path in options.models)
    if options.out is None:
        parser.error("--out FILE is missing: where should the artefact go?")
    if options.command == "export" and options.run is None:
        parser.error("--run FOLDER is missing: which training run should be exported?")
    if options.quantize and options.sequence_form:
        parser.error("--sequence-form has no int8 form: export it in float32, without --quantize")
    try:
        _write(_random(options) if options.command == "random" else _read(options.run), options)
    except ExportError as error:
        return _fail(error)
    except MemoryError:
        return _fail(UserError("a network of this size does not fit in memory; take a smaller one"))
    return 0


def _validate(path: Path) -> int:
    try:
        artifact = read_artifact(path)
        proof = prove(artifact, settings=THOROUGH, watch=show)
        _print(path, artifact, proof)
        require(proof)
    except ExportError as error:
        return _fail(error)
    return 0


def _read(run: Path) -> TrainedModel:
    from export.checkpoint import read_run  # torch, which the other commands do without

    return read_run(run)


def _random(options: argparse.Namespace) -> TrainedModel:
    network = random_network(
        options.features,
        options.hidden,
        options.layers,
        options.outputs,
        reset_after=options.reset_after,
        bias=options.bias,
        activation=options.activation,
        seed=options.seed,
    )
    return random_model(network, options.name)


def _write(model: TrainedModel, options: argparse.Namespace) -> None:
    """Proves every form that is asked for before it writes the first."""
    forms: list[tuple[Path, Form]] = [(options.out, STEP_INT8 if options.quantize else STEP)]
    if options.sequence_form:
        forms.append((options.sequence_form, SEQUENCE))
    for path, form in forms:
        form.check_worth(model.network)
        prepare_path(path)
    made = [(path, *make_artifact(model, form, THOROUGH, show)) for path, form in forms]
    for path, artifact, proof in made:
        _print(path, artifact, proof)
    if options.command == "export":
        forms_compared = [stored(path, artifact.manifest) for path, artifact, _ in made]
        content = json.dumps({"forms": forms_compared}, indent=1)
        write_file(RunFolder(options.run).validation, content.encode())
    _draw(_title(made[0][1].manifest), [proof for _, _, proof in made], options)
    for _, _, proof in made:
        require(proof)
    for path, artifact, _ in made:
        write_file(path, seal(artifact))
        print(f"wrote {path}")


def _draw(name: str, proofs: list[Proof], options: argparse.Namespace) -> None:
    path: Path | None = options.picture
    if path is None and options.command == "export":
        path = RunFolder(options.run).validation_picture
    if path is None:
        return
    from export.picture import draw_errors  # matplotlib, slow to load

    for proof, suffix in zip(proofs, ("", "_sequence"), strict=False):
        place = path.with_stem(path.stem + suffix)
        draw_errors(proof.error_by_step, name, place)
        print(f"wrote {place}")


def _print(path: Path, artifact: Artifact, proof: Proof) -> None:
    print(f"{_title(artifact.manifest)} ({path})\n\n{table(proof.comparisons)}\n", flush=True)


def _title(manifest: Manifest) -> str:
    """The model's name, with its precision where that is not the usual one."""
    int8 = manifest.cell.precision == Cell.PRECISION_INT8
    return manifest.name + (" in int8" if int8 else "")


def _fail(error: ExportError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
