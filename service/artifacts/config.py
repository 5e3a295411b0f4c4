"""A model's config.pbtxt: Triton's fields, as protobuf text.

Owns reading and writing the file, and which of its fields this server heeds. Whether they match the
graph is `resolution`'s to say.
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message

from protos.inference.model_config_pb2 import ModelConfig
from service.errors import ArtifactError

CONFIG_FILE = "config.pbtxt"
# Backends and platforms that run ONNX models; "" leaves it to the file.
_ONNX = {"", "onnxruntime", "onnxruntime_onnx"}
# What would change answers if it were passed over in silence.
_NOT_SERVED = (
    "ensemble_scheduling",
    "batch_input",
    "batch_output",
    "model_operations",
)


def read(folder: Path) -> ModelConfig | None:
    """The config of a model's folder; None where there is none.

    Raises:
        ArtifactError: it can't be read, has a field that nobody knows, or asks for what is not
            served here.
    """
    path = folder / CONFIG_FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: can't be read: {error}") from None
    try:
        config = text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ArtifactError(f"{path}: {' '.join(str(error).split())}") from None
    _check(path, folder, config)
    return config


def _check(path: Path, folder: Path, config: ModelConfig) -> None:
    if config.name and config.name != folder.absolute().name:
        raise ArtifactError(
            f"{path}: name is {config.name!r}, its folder is {folder.absolute().name!r}; leave "
            "name out, or let them agree"
        )
    if config.backend not in _ONNX or config.platform not in _ONNX:
        raise ArtifactError(
            f"{path}: backend {config.backend or config.platform!r} is not served here; only "
            "onnxruntime is"
        )
    for field, _ in config.ListFields():
        if field.name in _NOT_SERVED:
            raise ArtifactError(f"{path}: {field.name} is not served here; remove it")
    for name, number in _unknown_numbers(config):
        raise ArtifactError(f"{path}: {name} is {number}, which nobody knows; give it by its name")
    if config.model_transaction_policy.decoupled:
        raise ArtifactError(f"{path}: decoupled models are not served here; a step has one answer")
    if config.max_batch_size < 0:
        raise ArtifactError(f"{path}: max_batch_size is {config.max_batch_size}; take 0 or more")


def _unknown_numbers(message: Message) -> Iterator[tuple[str, int]]:
    """Choices that are given by a number that stands for none."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.enum_type is not None:
            known = field.enum_type.values_by_number
            yield from ((field.name, number) for number in values if number not in known)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in values:
                yield from _unknown_numbers(one)


def parameter(config: ModelConfig, key: str) -> str | None:
    """A text of `parameters`; None where it is not there."""
    return config.parameters[key].string_value if key in config.parameters else None


def write(config: ModelConfig) -> str:
    """The config as text."""
    return text_format.MessageToString(config)
