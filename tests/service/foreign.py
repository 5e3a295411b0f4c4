"""Models as others make them: several states, odd axes, controls, constants, no manifest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

F32, F64, I64, I32 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32
Port = tuple[str, int, Sequence[object] | None]


def save(
    folder: Path,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    config: str | None = None,
    version: int = 1,
) -> Path:
    """Writes a model into `folder` as a model's folder, and gives its file's path."""
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = folder / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return path


def state(name: str, output: str, kind: str, dims: str, more: str = "") -> str:
    return (
        f'state {{ input_name: "{name}" output_name: "{output}" data_type: {kind} dims: {dims} '
        f"{more} }}"
    )


ACCUMULATOR_CONFIG = """
max_batch_size: 16
input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] }
sequence_batching {
  control_input { name: "start" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
  control_input { name: "end" control { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }
  control_input {
    name: "ready" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] }
  }
  control_input { name: "corrid" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } }
  state {
    input_name: "sum" output_name: "sum_out" data_type: TYPE_FP32 dims: [ 3 ]
    initial_state { data_type: TYPE_FP32 dims: [ 3 ] data_file: "sum" name: "first" }
  }
  state { input_name: "count" output_name: "count_out" data_type: TYPE_INT64 dims: [ 2, 1 ] }
}
parameters { key: "constant_input.scale" value { string_value: "2" } }
parameters { key: "initial_state.count" value { string_value: "10,20" } }
"""


def accumulator(
    folder: Path, config: str = ACCUMULATOR_CONFIG, *, corrid: int = TensorProto.INT64
) -> Path:
    """sum' = sum + scale * x; count' = count + 1, batch axis 1; the controls come out as they are.

    y = sum', its shape undeclared; counts = count'; told = [start, end, ready, corrid].
    """
    (folder / "initial_state").mkdir(parents=True, exist_ok=True)
    (folder / "initial_state" / "sum").write_bytes(np.array([1, 2, 3], "<f4").tobytes())
    cast = [
        helper.make_node("Cast", [name], [f"{name}_f"], to=F32)
        for name in ("start", "end", "ready", "corrid")
    ]
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Add", ["sum", "scaled"], ["sum_out"]),
        helper.make_node("Identity", ["sum_out"], ["y"]),
        helper.make_node("Add", ["count", "one"], ["count_out"]),
        helper.make_node("Transpose", ["count_out"], ["counts"], perm=[1, 0, 2]),
        *cast,
        helper.make_node(
            "Concat", [f"{n}_f" for n in ("start", "end", "ready", "corrid")], ["told"], axis=1
        ),
    ]
    return save(
        folder,
        [
            ("x", F32, ["batch", 3]),
            ("start", F32, ["batch", 1]),
            ("end", I32, ["batch", 1]),
            ("ready", TensorProto.BOOL, ["batch", 1]),
            ("corrid", corrid, ["batch", 1]),
            ("scale", F32, []),
            ("sum", F32, ["batch", 3]),
            ("count", I64, [2, "batch", 1]),
        ],
        [
            ("y", F32, None),
            ("counts", I64, ["batch", 2, 1]),
            ("told", F32, ["batch", 4]),
            ("sum_out", F32, ["batch", 3]),
            ("count_out", I64, [2, "batch", 1]),
        ],
        nodes,
        {"one": np.array(1, np.int64)},
        config.replace("TYPE_INT64 } }", f"TYPE_{TensorProto.DataType.Name(corrid)} }} }}"),
    )


def doubling(folder: Path, factor: float = 2.0, version: int = 1) -> Path:
    """A model without state or config: y = factor * x."""
    return save(
        folder,
        [("x", F32, ["batch", 3])],
        [("y", F32, ["batch", 3])],
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        {"factor": np.array(factor, np.float32)},
        version=version,
    )


def running_sum(folder: Path, config: str | None, *, batch: object = "batch") -> Path:
    """[batch, time, 2] in; y = the running sum over time, state = its last value."""
    return save(
        folder,
        [("x", F32, [batch, "time", 2]), ("state", F32, [batch, 2])],
        [("y", F32, [batch, "time", 2]), ("state_out", F32, [batch, 2])],
        [
            helper.make_node("CumSum", ["x", "one"], ["partial"]),
            helper.make_node("Unsqueeze", ["state", "axes"], ["before"]),
            helper.make_node("Add", ["partial", "before"], ["y"]),
            helper.make_node("ReduceSum", ["x", "axes"], ["whole"], keepdims=0),
            helper.make_node("Add", ["state", "whole"], ["state_out"]),
        ],
        {"one": np.array(1, np.int64), "axes": np.array([1], np.int64)},
        config,
    )


def chunk_config(*more: str, batch: int = 8, way: str = "chunk") -> str:
    """Of a model with a time axis and a state of two numbers."""
    return (
        f"max_batch_size: {batch} "
        f'parameters {{ key: "time_axis" value {{ string_value: "{way}" }} }} '
        "sequence_batching { "
        + state("state", "state_out", "TYPE_FP32", "[ 2 ]")
        + " ".join(more)
        + " }"
    )


START = (
    'control_input { name: "start" control { kind: CONTROL_SEQUENCE_START '
    "fp32_false_true: [ 0, 1 ] } }"
)


def prefix_sum(folder: Path, config: str, *, time: object = "time") -> Path:
    """[batch, time, 2] in; y = 1 / (state + running sum over time); the state is the whole sum.

    told = [the start control, the number of steps], one a chunk.
    """
    return save(
        folder,
        [
            ("x", F32, ["batch", time, 2]),
            ("start", F32, ["batch", 1]),
            ("state", F32, ["batch", 2]),
        ],
        [
            ("y", F32, ["batch", time, 2]),
            ("told", F32, ["batch", 2]),
            ("state_out", F32, ["batch", 2]),
        ],
        [
            helper.make_node("CumSum", ["x", "axis"], ["partial"]),
            helper.make_node("Unsqueeze", ["state", "axes"], ["before"]),
            helper.make_node("Add", ["partial", "before"], ["total"]),
            helper.make_node("Reciprocal", ["total"], ["y"]),
            helper.make_node("Gather", ["total", "last"], ["state_out"], axis=1),
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "axis"], ["steps"]),
            helper.make_node("Cast", ["steps"], ["length"], to=F32),
            helper.make_node("Mul", ["start", "zero"], ["zeros"]),
            helper.make_node("Add", ["zeros", "length"], ["lengths"]),
            helper.make_node("Concat", ["start", "lengths"], ["told"], axis=1),
        ],
        {
            "axis": np.array(1, np.int64),
            "axes": np.array([1], np.int64),
            "last": np.array(-1, np.int64),
            "zero": np.array(0, np.float32),
        },
        config,
    )


def time_leading(folder: Path, config: str | None) -> Path:
    """[time, 2] in, its first axis time and no batch: the state leaks from row to row."""
    return save(
        folder,
        [("x", F32, ["time", 2]), ("state", F32, ["rows", 2])],
        [("y", F32, ["time", 2]), ("state_out", F32, ["rows", 2])],
        [
            helper.make_node("CumSum", ["x", "zero"], ["partial"]),
            helper.make_node("Add", ["partial", "state"], ["y"]),
            helper.make_node("Identity", ["y"], ["state_out"]),
        ],
        {"zero": np.array(0, np.int64)},
        config,
    )


def dividing(folder: Path) -> Path:
    """state' = state + x; y = 1 / state': infinite where the sum is 0."""
    return save(
        folder,
        [("x", F32, ["batch", 1]), ("state", F32, ["batch", 1])],
        [("y", F32, ["batch", 1]), ("state_out", F32, ["batch", 1])],
        [
            helper.make_node("Add", ["x", "state"], ["state_out"]),
            helper.make_node("Reciprocal", ["state_out"], ["y"]),
        ],
        None,
        "max_batch_size: 8 sequence_batching { "
        + state("state", "state_out", "TYPE_FP32", "[ 1 ]")
        + " }",
    )


def rooting(folder: Path) -> Path:
    """state' = state + x; y = the root of state': not a number where the sum is below 0."""
    return save(
        folder,
        [("x", F32, ["batch", 1]), ("state", F32, ["batch", 1])],
        [("y", F32, ["batch", 1]), ("state_out", F32, ["batch", 1])],
        [
            helper.make_node("Add", ["x", "state"], ["state_out"]),
            helper.make_node("Sqrt", ["state_out"], ["y"]),
        ],
        None,
        "max_batch_size: 8 sequence_batching { "
        + state("state", "state_out", "TYPE_FP32", "[ 1 ]")
        + " }",
    )
