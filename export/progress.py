"""Shows on the error stream which checks are done.

Owns the choice between a bar, in a terminal, and plain lines elsewhere.
"""

import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from protos.statewise.v1.manifest_pb2 import Comparison


def show(comparisons: Iterable[Comparison]) -> Iterator[Comparison]:
    """Passes comparisons on, and shows each as it is made."""
    if not sys.stderr.isatty():
        for comparison in comparisons:
            print(f"checked: {comparison.check}", file=sys.stderr)
            yield comparison
        return
    with tqdm(comparisons, desc="proving", unit="check", leave=False) as bar:
        for comparison in bar:
            bar.set_postfix_str(comparison.check)
            yield comparison
