"""Seldon's MLServer with a runtime of ours, which keeps states by sequence.

Owns its settings' files. MLServer's streams carry one request at a time to the runtime and know no
sequences, so that the runtime reads their parameters (`seldon_runtime.py`). Runs in an environment
of its own and needs nothing but the standard library and that package.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def main() -> int:
    """Runs MLServer until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.seldon", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port, http_port = options.port or _free_port(), _free_port()
        _write(Path(folder), "settings.json", _settings(port, http_port))
        _write(Path(folder), "model-settings.json", _model(options))
        root = Path(__file__).resolve().parent
        process = subprocess.Popen(
            [Path(sys.executable).with_name("mlserver"), "start", folder],
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while process.poll() is None and not _answers(port):
            time.sleep(_POLL_SECONDS)
        print(f"ready: grpc 127.0.0.1:{port}", flush=True)
        return process.wait()


def _settings(port: int, http_port: int) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "grpc_port": port,
        "http_port": http_port,
        # In the server's own process: another would cost a copy and a wake-up a message.
        "parallel_workers": 0,
        # Both are refused beside streams.
        "gzip_enabled": False,
        "metrics_endpoint": None,
        "debug": False,
    }


def _model(options: argparse.Namespace) -> dict[str, object]:
    return {
        "name": options.name,
        "implementation": "seldon_runtime.Recurrent",
        "parameters": {"uri": str(options.model.resolve())},
    }


def _write(folder: Path, name: str, content: dict[str, object]) -> None:
    (folder / name).write_text(json.dumps(content))


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
