"""What streams send: rows that follow from a stream's number.

Owns the inputs of a load, so that whoever checks the answers can make them again.
"""

import numpy as np
from numpy.typing import NDArray

# A stream sends this many distinct rows in a circle: enough that no two streams or steps can be
# taken for each other, few enough to be serialised before the clock starts.
ROWS = 16


def stream_rows(index: int, features: int) -> NDArray[np.float32]:
    """Inputs of the stream with this index, (ROWS, features); step n sends row (n - 1) % ROWS."""
    return np.random.default_rng(index).standard_normal((ROWS, features), np.float32)
