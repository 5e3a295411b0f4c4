"""What a manifest must not say, whatever its model is.

Owns the check of single fields that the exporter's proof and the server's load have in common.
Knows neither graphs nor engines: whether the fields fit each other and the graph is theirs to say.
"""

import math
import struct
from collections.abc import Iterable

from protos.statewise.v1.manifest_pb2 import Cell, Channel, GoldenVectors, Manifest, Output

# A replay that allows an error of a tenth of the largest answer proves nothing. In float32 the
# exporter stays far below: it allows at most a thousandth of an output's range.
LARGEST_TOLERANCE_SHARE = 0.1


def check_plausible(manifest: Manifest) -> None:
    """Looks at every field that has a meaning of its own.

    Raises:
        ValueError: names the first field that can't be right, and its value.
    """
    _require(bool(manifest.name), "name", "is empty")
    cell, output = manifest.cell, manifest.output
    _require(cell.form in Cell.Form.values()[1:], "cell.form", "is not one that is known")
    known = cell.precision in Cell.Precision.values()
    _require(known, "cell.precision", f"is {cell.precision}, which this version does not know")
    for field, size in (("cell.layers", cell.layers), ("cell.hidden", cell.hidden)):
        _require(size > 0, field, "is 0")
    _check_channels("input.channels", manifest.input.channels)
    _check_channels("output.channels", output.channels)
    known = output.activation in Output.Activation.values()[1:]
    _require(known, "output.activation", "is not one that is known")
    rate = manifest.steps_per_second
    _require(0 <= rate < math.inf, "steps_per_second", f"is {rate}, not a number from 0")
    for state in manifest.states:
        finite = all(map(math.isfinite, _numbers("f", state.initial_value)))
        _require(finite, "states.initial_value", "holds what is not a finite number")
    _check_golden(manifest)


def _check_golden(manifest: Manifest) -> None:
    golden = manifest.golden
    for field in ("inputs", "initial_state"):
        finite = all(map(math.isfinite, _numbers("f", getattr(golden, field))))
        _require(finite, f"golden.{field}", "holds what is not a finite number")
    tolerance = golden.tolerance
    positive = 0 < tolerance < math.inf
    _require(positive, "golden.tolerance", f"is {tolerance}, not a positive number")
    most = largest_tolerance(golden)
    _require(
        tolerance <= most,
        "golden.tolerance",
        f"is {tolerance:g}, which would let any answer pass; at most {most:g} proves something",
    )


def largest_tolerance(golden: GoldenVectors) -> float:
    """The tolerance above which golden vectors prove nothing."""
    # An answer that is no number fails the replay itself.
    answers = filter(math.isfinite, _numbers("d", golden.outputs))
    return LARGEST_TOLERANCE_SHARE * max(1.0, max(map(abs, answers), default=0.0))


def _check_channels(field: str, channels: Iterable[Channel]) -> None:
    names = [channel.name for channel in channels]
    _require(bool(names), field, "is empty")
    _require(all(names), field, "holds an empty name")
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(not twice, field, f"names {', '.join(map(repr, twice[:3]))} twice")


def _numbers(form: str, packed: bytes) -> Iterable[float]:
    """Little-endian numbers; a length that makes no whole number of them is another check's."""
    count = len(packed) // struct.calcsize(form)
    return struct.unpack_from(f"<{count}{form}", packed)


def _require(holds: bool, field: str, fault: str) -> None:
    if not holds:
        raise ValueError(f"{field} {fault}")
