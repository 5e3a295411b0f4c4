import socket

import numpy as np
import pytest

from demo.commands import DemoError
from demo.live import stream_all
from demo.tails import Tails


def test_streams_that_fail_are_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
    tails = Tails({"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 3), np.float32)}, {})
    with pytest.raises(DemoError, match="streams failed: ") as failed:
        stream_all(target, "activity", tails)
    assert "\n" not in str(failed.value)
