"""NVIDIA's perf_analyzer against a running server: sequences on streams and in single calls."""

import ctypes.util
import os
import re
import subprocess
import zipfile

import pytest
from processes import serving

from training.data import packages

# A package of tritonclient that still carries the program, and the library that it is linked to.
WHEEL = "tritonclient==2.51.0"
CUDA_RUNTIME = "nvidia-cuda-runtime-cu12==12.9.79"
PROGRAM = "tritonclient-2.51.0.data/data/bin/perf_analyzer"


@pytest.fixture(scope="module")
def perf_analyzer(tmp_path_factory):
    """The program, and the environment in which it runs."""
    if ctypes.util.find_library("b64") is None:
        reason = "needs libb64: apt-get install libb64-0d"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("perf_analyzer")
    for requirement in (WHEEL, CUDA_RUNTIME):
        target = folder / requirement.partition("=")[0]
        target.mkdir()
        with zipfile.ZipFile(packages.download(requirement, target)) as package:
            package.extractall(folder)
    program = folder / PROGRAM
    program.chmod(0o755)
    return program, {"LD_LIBRARY_PATH": str(folder / "nvidia/cuda_runtime/lib")}


@pytest.mark.parametrize("transport", [["--streaming"], []], ids=["stream", "unary"])
def test_sequences_run_without_an_error(perf_analyzer, model_path, transport):
    program, environment = perf_analyzer
    # Any stability will do: what is tested is that it works.
    quick = ["--measurement-interval", "300", "--max-trials", "3", "--stability-percentage", "999"]
    load = ["--sequence-length", "20", "--concurrency-range", "4:8:4", *transport]
    with serving(model_path) as server:
        done = subprocess.run(
            [program, "-m", "random", "-u", server.target, "-i", "grpc", *load, *quick],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "rror" not in said, said
    counts = [int(count) for count in re.findall(r"Request count: (\d+)", said)]
    assert len(counts) == 2
    assert min(counts) > 20
    # It prints the server's own statistics.
    assert len(re.findall(r"Execution count: [1-9]", said)) == 2
    assert re.search(r"queue \d+ usec \+ compute input \d+ usec", said)
