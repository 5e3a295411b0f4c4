"""What the server's commands make of their arguments, and of a machine that does not play along."""

import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from processes import failed, serving

from service.rpc.probe import probe


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_it_listens_on_ipv6(model_path, host):
    with serving(model_path, "--host", host) as server:
        assert server.target.startswith("[::1]:")
        assert probe(server.target, 10) == "SERVING"
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
            assert b"statewise_model_info" in page.read()


def test_a_host_that_is_not_this_machines_is_named(model_path):
    repository = model_path.parent.parent.parent
    line = failed(
        "--model-repository", repository, "--port", 0, "--host", "192.0.2.1", "--insecure-any-host"
    )
    assert "can't be had on 192.0.2.1: Cannot assign requested address" in line


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--port", "99999"), "port is 99999"),
        (("--port", "0"), "port is 0"),
        (("--port", "8500", "--timeout", "-1"), "timeout is -1.0"),
        (("--port", "8500", "--timeout", "nan"), "timeout is nan"),
    ],
)
def test_health_refuses_what_cannot_be(words, fault):
    command = [sys.executable, "-m", "service", "health", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {fault}; take a value from ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("serve", "--port", "x"), "argument --port: invalid int value: 'x'; see {} serve --help"),
        (("serve", "--prot\n", "1"), "unrecognized arguments: --prot 1; see {} serve --help"),
        (
            ("serve", "--provider", "tpu"),
            "from 'cpu', 'cuda', 'auto'); see {} serve --help",
        ),
        (("health", "--port"), "argument --port: expected one argument; see {} health --help"),
        (("score",), "see {} score --help"),
        (("state",), "see {} state --help"),
        (("srve",), "invalid choice: 'srve' (choose from 'serve'"),
        ((), "the following arguments are required: COMMAND; see {} --help"),
    ],
)
def test_a_mistake_in_a_command_is_told_in_one_line(words, says):
    command = [sys.executable, "-m", "service", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says.format("python -m service") in line
    assert line.endswith(" --help")


def test_health_says_so_where_its_output_has_no_room(model_path):
    with serving(model_path) as server, Path("/dev/full").open("w") as full:
        port = server.target.rpartition(":")[2]
        command = [sys.executable, "-m", "service", "health", "--port", port]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "error: the output can't be written: No space left on device\n"


def test_a_taken_port_is_named(model_path):
    repository = model_path.parent.parent.parent
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = failed("--model-repository", repository, "--port", port, "--metrics-port", -1)
        assert f"port is {port}, which can't be had on 127.0.0.1: Address already in use" in line
        line = failed("--model-repository", repository, "--port", 0, "--metrics-port", port)
        assert f"metrics_port is {port}, which can't be had" in line


def test_a_mistake_is_one_line_and_exit_code_2(model_path, tmp_path):
    repository = model_path.parent.parent.parent
    assert "give --model-repository DIR" in failed()
    assert "no model in it" in failed("--model-repository", tmp_path)
    assert "max_batch is 0" in failed("--model-repository", repository, "--max-batch", 0)
    broken = tmp_path / "random" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    shutil.copyfile(model_path, broken)
    with broken.open("r+b") as file:
        file.truncate(1000)
    assert "not a whole ONNX file" in failed("--model-repository", tmp_path)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_fails_to_start(model_path):
    repository = model_path.parent.parent.parent
    line = failed("--model-repository", repository, "--provider", "cuda")
    assert "provider cuda: " in line
    assert "--provider cpu" in line


def test_health_of_nobody_is_exit_code_1():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-m", "service", "health", "--port", port, "--timeout", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "UNAVAILABLE\n")
