"""One step of many streams in one call of ONNX Runtime.

Owns the session, the buffers that it reads and writes, and one binding a batch size, made once and
used again. The only module that imports onnxruntime. Knows nothing of streams or time: who stands
in which row is the batcher's affair.
"""

import contextlib
import logging
import os
import re
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Where it is not told otherwise before its import, ONNX Runtime keeps a record of its use on disk
# and may send it to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from service.artifact import Artifact
from service.errors import ArtifactError, ModelFault, ProviderError
from service.settings import Provider

_log = logging.getLogger(__name__)
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 keeps 10 bits of a float32's 23.
_CUDA_OPTIONS = {"use_tf32": "0"}
_FATAL_ONLY = 4


class StepEngine(Protocol):
    """What the tick and the lanes need of an engine.

    A Protocol, so that a test's engine can compute something that the test can predict.

    Attributes:
        max_batch: rows of each buffer.
        inputs, states: (max_batch, width), written before a step.
        outputs, next_states: (max_batch, width), read after a step.
    """

    max_batch: int
    inputs: NDArray[np.float32]
    states: NDArray[np.float32]
    outputs: NDArray[np.float32]
    next_states: NDArray[np.float32]

    def step(self, rows: int) -> None:
        """Advances the first `rows` rows from inputs and states to outputs and next_states."""


class Engine:
    """A session with its buffers; row i of each buffer belongs to one stream for one step.

    Attributes:
        provider: the execution provider that really computes, "cpu" or "cuda".
        inputs: (max_batch, features), written before a step.
        states: (max_batch, state size), written before a step.
        outputs: (max_batch, outputs), read after a step.
        next_states: (max_batch, state size), read after a step.
    """

    def __init__(self, artifact: Artifact, *, provider: Provider, max_batch: int) -> None:
        """Opens a session.

        Args:
            artifact: the model.
            provider: what was asked for; "auto" is CUDA where it is really there.
            max_batch: largest number of rows of a step.

        Raises:
            ArtifactError: ONNX Runtime refuses the model, or its graph is not its manifest's.
            ProviderError: "cuda" was asked for and another provider would compute.
        """
        self.artifact = artifact
        self.max_batch = max_batch
        self._session, self.provider = _open(artifact, provider)
        _check_graph(artifact, self._session)
        self.inputs = np.zeros((max_batch, artifact.input.width), np.float32)
        self.states = np.zeros((max_batch, artifact.state.size), np.float32)
        self.outputs = np.zeros((max_batch, artifact.output.width), np.float32)
        self.next_states = np.zeros((max_batch, artifact.state.size), np.float32)
        self._bindings: list[Any] = [None] * (max_batch + 1)
        self._run = self._session.run_with_iobinding

    def step(self, rows: int) -> None:
        """Advances the first `rows` rows by one step, from inputs and states to the other two.

        Raises:
            ModelFault: ONNX Runtime failed.
        """
        binding = self._bindings[rows] or self._bind(rows)
        try:
            self._run(binding)
        except Exception as error:
            # ONNX Runtime's exceptions share no base class of their own.
            _log.exception("the model %s failed on %d rows", self.artifact.name, rows)
            raise ModelFault(
                f"the model {self.artifact.name} failed on a step; see the server's log",
                reason="MODEL_FAILED",
            ) from error

    def _bind(self, rows: int) -> Any:
        """Binds the first `rows` rows of the buffers; the values alias the arrays' memory."""
        artifact = self.artifact
        binding = self._session.io_binding()
        for tensor, array in (
            (artifact.input.tensor, self.inputs),
            (artifact.state.input_tensor, self.states),
        ):
            binding.bind_ortvalue_input(tensor, _alias(array, rows))
        for tensor, array in (
            (artifact.output.tensor, self.outputs),
            (artifact.state.output_tensor, self.next_states),
        ):
            binding.bind_ortvalue_output(tensor, _alias(array, rows))
        self._bindings[rows] = binding
        return binding


def _alias(array: NDArray[np.float32], rows: int) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array[:rows])


def _open(artifact: Artifact, provider: Provider) -> tuple[Any, str]:
    # What ONNX Runtime would print of its own, the errors below say in one line.
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    if provider == "cpu":
        return _session(artifact, [_CPU]), "cpu"
    missing = _missing_cuda()
    session = None if missing else _session(artifact, [(_CUDA, _CUDA_OPTIONS), _CPU])
    if session is not None and session.get_providers()[0] == _CUDA:
        return session, "cuda"
    reason = missing or "ONNX Runtime fell back to the CPU: no usable GPU, driver or CUDA libraries"
    if provider == "cuda":
        raise ProviderError(
            f"provider cuda: {reason}; install '.[service,cuda]' on a machine with an NVIDIA GPU, "
            "or take --provider cpu"
        )
    _log.info("provider auto: cpu, since %s", reason)
    return _session(artifact, [_CPU]), "cpu"


def _missing_cuda() -> str:
    """Why CUDA can't be tried; empty where it can."""
    if _CUDA not in onnxruntime.get_available_providers():
        return "this build of ONNX Runtime has no CUDA provider"
    # Finds CUDA and cuDNN in their Python packages; where they are missing, it prints and goes on.
    with contextlib.redirect_stdout(None):
        onnxruntime.preload_dlls()
    return ""


def _session(artifact: Artifact, providers: list[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    # A core a worker: a second thread in one call gains less than a second process.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # One denormal state slows the whole batch up to 96 times. It takes effect in the process's
    # first session, for the thread that makes it and the threads that this one starts.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        return onnxruntime.InferenceSession(artifact.model, options, providers=providers)
    except Exception as error:
        # ONNX Runtime's exceptions share no base class of their own.
        cause = re.sub(r"\s+", " ", str(error))
        raise ArtifactError(f"{artifact.path}: ONNX Runtime refuses it: {cause}") from None


def _check_graph(artifact: Artifact, session: Any) -> None:
    """Compares every tensor that the manifest names with the graph's, and the reverse."""
    state = artifact.state
    declared = {
        "inputs": {artifact.input.tensor: artifact.input.width, state.input_tensor: state.size},
        "outputs": {artifact.output.tensor: artifact.output.width, state.output_tensor: state.size},
    }
    actual = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    for side, tensors in declared.items():
        wanted = {(name, "tensor(float)", width) for name, width in tensors.items()}
        found = {(node.name, node.type, _row_width(node.shape)) for node in actual[side]}
        if wanted != found:
            raise ArtifactError(
                f"{artifact.path}: the manifest does not match its graph: {side} are "
                f"{_describe(found)}, the manifest says {_describe(wanted)}; export the model again"
            )


def _row_width(shape: list[Any]) -> object:
    """Width of a [batch, width] tensor with a free batch; the shape itself of any other."""
    free_batch = len(shape) == 2 and not isinstance(shape[0], int)
    return shape[1] if free_batch else str(shape)


def _describe(tensors: set[tuple[str, str, Any]]) -> str:
    return ", ".join(
        f"{name} {kind.removeprefix('tensor(').rstrip(')')}[batch, {width}]"
        for name, kind, width in sorted(tensors, key=str)
    )
