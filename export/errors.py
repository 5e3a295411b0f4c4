"""What can go wrong in an export, and the exit code that tells it.

ExportError                   exit
├── ProofError                1   the artefact is not what it claims to be; nothing was written
└── UserError                 2   a mistake in a command or a file
    ├── RunError                  a run that can't be exported
    ├── FormError                 a form that a network is not worth
    ├── ArtifactError             a file that is not an artefact of ours, or no longer is
    └── OutputError               a path that can't be written
"""


class ExportError(Exception):
    """An expected failure; its text is one line that names the field, the value and the remedy."""

    exit_code: int


class ProofError(ExportError):
    """At least one comparison failed."""

    exit_code = 1


class UserError(ExportError):
    """A mistake in a command or in a file."""

    exit_code = 2


class RunError(UserError):
    """A training run that can't be exported."""


class FormError(UserError):
    """A form of graph that would make a network worse."""


class ArtifactError(UserError):
    """A file that is not an artefact of ours, or is damaged."""


class OutputError(UserError):
    """A path that can't be written."""
