"""What a figure depends on beside the code: the machine and the libraries.

Owns their description as fields of a record.
"""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from benchmarks.report import Record

_CPUINFO = Path("/proc/cpuinfo")
_LIBRARIES = ("grpcio", "numpy", "onnxruntime-gpu", "protobuf", "torch", "uvloop")
# Those that decide how fast a matrix product is, on x86 and on ARM.
_INSTRUCTION_SETS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "sve",
)


def describe() -> Record:
    """The machine_* and version_* fields of a record."""
    info = _CPUINFO.read_text()
    flags = (_first(info, "flags") or _first(info, "Features")).split()
    record: Record = {
        "machine_cores": os.cpu_count() or 0,
        "machine_cpu": _first(info, "model name") or platform.machine(),
        "machine_instruction_sets": " ".join(one for one in _INSTRUCTION_SETS if one in flags),
        "version_python": platform.python_version(),
    }
    for library in _LIBRARIES:
        record[f"version_{library.replace('-', '_')}"] = version(library)
    return record


def title(record: Record) -> str:
    """The machine of a record in a line."""
    sets = record["machine_instruction_sets"]
    return f"{record['machine_cores']} cores, {record['machine_cpu']}, {sets}"


def _first(info: str, key: str) -> str:
    """The first value of a key in /proc/cpuinfo; empty where it has none."""
    found = re.search(rf"^{key}\s*:\s*(.*)$", info, re.MULTILINE)
    return found[1].strip() if found else ""
