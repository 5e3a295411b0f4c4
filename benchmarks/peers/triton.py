"""NVIDIA Triton with its Python backend, as nvidia-pytriton brings it.

Owns Triton's model repository and its command line. The model batches whatever sequences Triton
hands it into one call and keeps their states by id (`triton_model.py`): Triton's implicit state
belongs to its ONNX Runtime backend, which no Python package carries. Runs in an environment of its
own and needs nothing but the standard library and that package.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

_CONFIG = """
backend: "python"
max_batch_size: 256
input {{ name: "input" data_type: TYPE_FP32 dims: [ {features} ] }}
output {{ name: "output" data_type: TYPE_FP32 dims: [ {outputs} ] }}
sequence_batching {{
  max_sequence_idle_microseconds: 600000000
  oldest {{ max_candidate_sequences: 8192 }}
  control_input {{
    name: "START" control {{ kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }}
  }}
  control_input {{
    name: "END" control {{ kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] }}
  }}
  control_input {{
    name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }}
  }}
}}
instance_group {{ kind: KIND_CPU count: 1 }}
parameters {{ key: "onnx" value {{ string_value: "{onnx}" }} }}
"""
_STARTED = re.compile(r"Started GRPCInferenceService at")


def main() -> int:
    """Runs Triton until it is ended."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        _write_model(repository, options)
        port = options.port or _free_port()
        process = subprocess.Popen(
            _command(Path(folder), port), env=_environment(), stderr=subprocess.PIPE, text=True
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if _STARTED.search(line):
                print(f"ready: grpc 127.0.0.1:{port}", flush=True)
        return process.wait()


def _write_model(repository: Path, options: argparse.Namespace) -> None:
    version = repository / options.name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(
        _CONFIG.format(
            features=options.features, outputs=options.outputs, onnx=options.model.resolve()
        )
    )
    packages = sysconfig.get_path("purelib")
    source = Path(__file__).with_name("triton_model.py").read_text()
    # The backend's interpreter does not know this environment.
    (version / "model.py").write_text(f"import sys\nsys.path.insert(0, {packages!r})\n{source}")
    stub = _package() / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
    # Beside the backend, where it looks for the stub of the interpreter that runs the model.
    shutil.copytree(_package() / "backends", repository.parent / "backends")
    shutil.copy(stub / "triton_python_backend_stub", repository.parent / "backends" / "python")


def _package() -> Path:
    found = find_spec("pytriton")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "tritonserver"


def _command(folder: Path, port: int) -> list[str]:
    return [
        str(_package() / "bin" / "tritonserver"),
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={folder / 'backends'}",
        "--allow-http=false",
        "--allow-metrics=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        # Without it, Triton crashes under many streams.
        "--grpc-infer-allocation-pool-size=4096",
    ]


def _environment() -> dict[str, str]:
    """The backend finds its libraries, and the interpreter's own."""
    libraries = [
        str(_package().parents[1] / "nvidia_pytriton.libs"),
        sysconfig.get_config_var("LIBDIR") or "",
        os.environ.get("LD_LIBRARY_PATH", ""),
    ]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.triton", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--features", type=int, required=True, help="numbers of a step")
    parser.add_argument("--outputs", type=int, required=True, help="numbers of an answer")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (0)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
