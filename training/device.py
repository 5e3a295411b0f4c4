"""Where a fit is computed.

Owns the choice of the device. Where it can't be had, that is said: nothing else takes its place.
"""

import os

import torch

from training.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of a name, "cpu" or "cuda"; each of several processes takes a GPU of its own.

    Raises:
        ConfigError: torch can't use a GPU here.
    """
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        reason = "finds no GPU" if torch.version.cuda else "is a build without CUDA"
        raise ConfigError(
            f"training.device = 'cuda': torch {torch.__version__} {reason}; "
            "set it to 'cpu', or install torch for CUDA where there is a GPU"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
