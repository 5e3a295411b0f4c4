"""What a caller installs: the package by itself, its command, its types."""

import subprocess
import sys
from importlib.metadata import distribution
from importlib.resources import files

# What grpc looks for by itself is grpc's own.
LIST_WHAT_COMES_WITH_IT = """
import importlib, pkgutil, sys
import google.protobuf, grpc, numpy
before = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names
import statewise_client
for module in pkgutil.walk_packages(statewise_client.__path__, "statewise_client."):
    importlib.import_module(module.name)
print(*{name.partition(".")[0] for name in sys.modules} - before)
"""


def test_every_module_imports_with_grpc_protobuf_and_numpy_alone():
    result = subprocess.run(
        [sys.executable, "-c", LIST_WHAT_COMES_WITH_IT], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == ["statewise_client"]


def test_the_distribution_brings_the_command_and_its_types():
    (command,) = distribution("statewise-client").entry_points.select(group="console_scripts")

    assert (command.name, command.load().__module__) == ("statewise", "statewise_client.__main__")
    assert files("statewise_client").joinpath("py.typed").is_file()


def test_the_command_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "statewise_client", "stream", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert "statewise stream --target localhost:8500 --model activity" in result.stdout
