"""What can go wrong in a measurement.

BenchmarkError        the figures can't be had
├── SettingsError     a setting out of its range
├── PeerMissingError  a peer's environment can't be had
├── ServerError       a server did not start, or died
├── LoadError         a server broke the wire, refused, or fell silent under load
└── WrongAnswerError  a server answered, but not with the model's outputs
"""


class BenchmarkError(Exception):
    """An expected failure; its text is one line: what, the value, the remedy."""


class SettingsError(BenchmarkError):
    """A setting out of its range."""


class PeerMissingError(BenchmarkError):
    """A peer whose environment can't be made; the others can be measured without it."""


class ServerError(BenchmarkError):
    """A server that did not start, or died."""


class LoadError(BenchmarkError):
    """A server that broke the wire, refused a stream or a chunk, or fell silent."""


class WrongAnswerError(BenchmarkError):
    """Outputs that are not the model's; their figures are worth nothing."""
