"""States of one model as portable blobs, the same that streams export and resume from.

Owns the model's side of it. The bytes are `blob`'s, the checks `snapshots`', both of
`service.durability`.
"""

from service.durability import blob, snapshots
from service.models.selftest import SelfTest
from service.runtime.engine import Engine
from service.tensors import Array


class Blobs:
    """Makes blobs of the states of a model, and reads them.

    Attributes:
        name, version, artifact, self_test, state_layout: what a snapshot says of its model.
    """

    def __init__(self, engine: Engine, proof: SelfTest) -> None:
        """Takes the engine's model; the version is the name of its folder, where that is one."""
        self.artifact = engine.artifact
        self.self_test = proof
        self.state_layout = engine.signature.state_layout()
        self.name = engine.artifact.name
        folder = engine.artifact.path.absolute().parent.name
        self.version = int(folder) if folder.isdecimal() else 1

    def encode(self, row: Array, steps: int) -> bytes:
        """The blob of a packed row, (state size,), after so many steps."""
        return blob.encode(snapshots.take(self, row, steps))

    def decode(self, data: bytes) -> tuple[Array, int]:
        """The packed row of a blob, and its steps.

        Raises:
            InvalidArgument: it is no blob, or of another model.
        """
        snapshot = blob.decode(data)
        return snapshots.packed_row(snapshot, self), snapshot.steps
