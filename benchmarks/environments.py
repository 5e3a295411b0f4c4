"""Virtual environments of peers whose dependencies differ from ours.

Owns where they stand, what is installed there, and what is said where that can't be had: a peer
without its environment is left out, not a reason to measure nothing.
"""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.errors import PeerMissingError

_FOLDER = Path(__file__).resolve().parent / ".peers"
_DONE = ".installed"


def python_of(name: str, requirements: tuple[str, ...], folder: Path = _FOLDER) -> str:
    """The interpreter of a peer's environment, made at the first call (a minute or more).

    Args:
        name: of the peer.
        requirements: what pip installs, each with its version.
        folder: where environments stand.

    Raises:
        PeerMissingError: pip failed; the message is its own.
    """
    place = folder / name
    python = place / "bin" / "python"
    wanted = "\n".join(requirements)
    done = place / _DONE
    if done.exists() and done.read_text() == wanted:
        return str(python)
    print(f"{name}: installing {', '.join(requirements)} in {place}", file=sys.stderr)
    venv.create(place, clear=True, with_pip=True)
    ran = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *requirements], capture_output=True, text=True
    )
    if ran.returncode:
        raise PeerMissingError(f"{name} is left out: {_reason(ran.stderr)}")
    done.write_text(wanted)
    return str(python)


def _reason(text: str) -> str:
    """Pip's first error; notes and hints follow it."""
    lines = text.strip().splitlines() or ["pip said nothing"]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:])[0]
