"""ONNX Runtime: sessions on the provider that was asked for, and their graphs.

Owns the only import of onnxruntime, the session's options, and which provider really computes.
Knows nothing of what a graph means.
"""

import contextlib
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

# Where it is not told otherwise before its import, ONNX Runtime keeps a record of its use on disk
# and may send it to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy as np
import onnxruntime

from service.artifacts.artifact import Artifact
from service.artifacts.graph import Graph, node
from service.errors import ArtifactError, ModelFault, ProviderError
from service.settings import Provider
from service.tensors import Array

_log = logging.getLogger(__name__)
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 keeps 10 bits of a float32's 23.
_CUDA_OPTIONS = {"use_tf32": "0"}
_FATAL_ONLY = 4


def open_session(artifact: Artifact, provider: Provider) -> tuple[Any, str]:
    """A session, and the provider that really computes in it, "cpu" or "cuda".

    Raises:
        ArtifactError: ONNX Runtime refuses the model.
        ProviderError: "cuda" was asked for and another provider would compute; int8 products are
            for the CPU.
    """
    # What ONNX Runtime would print of its own, the errors below say in one line.
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    if provider == "cpu":
        return _session(artifact, [_CPU]), "cpu"
    if artifact.int8:
        return _session_of_int8(artifact, provider), "cpu"
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


def _session_of_int8(artifact: Artifact, provider: Provider) -> Any:
    """On CUDA, ONNX Runtime would send every such product across to the CPU and back."""
    if provider == "cuda":
        raise ProviderError(
            f"provider cuda: {artifact.name} computes in int8, which is for CPUs; take --provider "
            "cpu, or export it without --quantize"
        )
    _log.info("provider auto: cpu, since %s computes in int8", artifact.name)
    return _session(artifact, [_CPU])


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
        # Weights beside the model are found from its path.
        source = str(artifact.path) if artifact.external else artifact.model
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:
        # ONNX Runtime's exceptions share no base class of their own.
        raise ArtifactError(
            f"{artifact.path}: ONNX Runtime refuses it: {_one_line(error)}"
        ) from None


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))


def step_failed(model: str, rows: int) -> ModelFault:
    """What streams are told where a call of so many rows failed; the log has the error at hand."""
    _log.exception("the model %s failed on %d rows", model, rows)
    return ModelFault(
        f"the model {model} failed on a step; see the server's log", reason="MODEL_FAILED"
    )


def alias(array: Array) -> Any:
    """A value of ONNX Runtime that stands in the array's memory."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def device_value(array: Array, device: Provider | str) -> Any:
    """A value of ONNX Runtime on a device, "cpu" or "cuda", that starts as the array is."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.array(array), device, 0)


def graph_of(session: Any) -> Graph:
    """The outside of a session's graph."""

    def run(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        names = [one.name for one in session.get_outputs()]
        try:
            return dict(zip(names, session.run(None, dict(feeds)), strict=True))
        except Exception as error:
            # ONNX Runtime's exceptions share no base class of their own.
            raise ArtifactError(_one_line(error)) from None

    return Graph(
        inputs={one.name: node(one.name, one.type, one.shape) for one in session.get_inputs()},
        outputs={one.name: node(one.name, one.type, one.shape) for one in session.get_outputs()},
        run=run,
    )


def inspect(artifact: Artifact) -> Graph:
    """Opens a model on the CPU to look at it.

    Raises:
        ArtifactError: ONNX Runtime refuses it.
    """
    return graph_of(open_session(artifact, "cpu")[0])
