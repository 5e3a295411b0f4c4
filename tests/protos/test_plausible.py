"""Manifests that no model can have."""

import struct
from collections.abc import Callable

import pytest

from protos.plausible import check_plausible
from protos.statewise.v1.manifest_pb2 import Cell, Manifest, Output


def make() -> Manifest:
    manifest = Manifest(name="a", steps_per_second=10)
    manifest.cell.form = Cell.FORM_GRU_RESET_BEFORE
    manifest.cell.layers, manifest.cell.hidden = 1, 4
    for name in ("x", "y"):
        manifest.input.channels.add(name=name)
    manifest.output.channels.add(name="p")
    manifest.output.activation = Output.ACTIVATION_SOFTMAX
    manifest.states.add(initial_value=struct.pack("<4f", 0, 1, 2, 3))
    golden = manifest.golden
    golden.inputs = struct.pack("<4f", 1, 2, 3, 4)
    golden.outputs = struct.pack("<2d", 0.5, -30.0)
    golden.tolerance = 1e-5
    return manifest


def test_a_sound_manifest_passes() -> None:
    check_plausible(make())
    free = make()
    free.steps_per_second = 0
    free.golden.tolerance = 3.0
    check_plausible(free)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda m: m.ClearField("name"), "name is empty"),
        (lambda m: setattr(m.cell, "precision", 7), r"cell\.precision is 7, which this version"),
        (lambda m: m.cell.ClearField("form"), r"cell\.form is not one"),
        (lambda m: setattr(m.cell, "form", 9), r"cell\.form is not one"),
        (lambda m: setattr(m.cell, "layers", 0), r"cell\.layers is 0"),
        (lambda m: setattr(m.cell, "hidden", 0), r"cell\.hidden is 0"),
        (lambda m: m.input.ClearField("channels"), r"input\.channels is empty"),
        (lambda m: m.input.channels.add(name=""), r"input\.channels holds an empty name"),
        (lambda m: m.input.channels.add(name="x"), r"input\.channels names 'x' twice"),
        (lambda m: m.output.channels.add(name="p"), r"output\.channels names 'p' twice"),
        (lambda m: setattr(m.output, "activation", 77), r"output\.activation is not one"),
        (lambda m: setattr(m, "steps_per_second", -1), "steps_per_second is -1"),
        (lambda m: setattr(m, "steps_per_second", float("nan")), "steps_per_second is nan"),
        (lambda m: setattr(m, "steps_per_second", float("inf")), "steps_per_second is inf"),
        (
            lambda m: setattr(m.states[0], "initial_value", struct.pack("<f", float("nan"))),
            r"states\.initial_value holds what is not",
        ),
        (
            lambda m: setattr(m.golden, "inputs", struct.pack("<f", float("inf"))),
            r"golden\.inputs holds what is not",
        ),
        (lambda m: setattr(m.golden, "tolerance", 0), r"golden\.tolerance is 0\.0, not a pos"),
        (lambda m: setattr(m.golden, "tolerance", 1e30), r"1e\+30, which would let any answer"),
        (lambda m: setattr(m.golden, "tolerance", 3.1), r"at most 3 proves something"),
    ],
)
def test_the_first_impossible_field_is_named(
    edit: Callable[[Manifest], object], fault: str
) -> None:
    manifest = make()
    edit(manifest)
    with pytest.raises(ValueError, match=fault):
        check_plausible(manifest)
