"""Configurations as TOML files.

Owns the reading, the refusal of what a configuration doesn't know, and the writing. The settings
and their ranges are in `config`.
"""

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from training.config import Config
from training.errors import ConfigError

Section = TypeVar("Section")
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read_config(path: Path) -> Config:
    """Reads and checks a configuration.

    Raises:
        ConfigError: the file can't be read, is not TOML, or says something that is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} can't be read: {error}") from None
    try:
        return parse_config(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(text: str) -> Config:
    """Reads and checks a configuration's text.

    Raises:
        ConfigError: it is not TOML, or says something that is not allowed.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None
    return _build(Config, table, "")


def format_config(config: Config) -> str:
    """Writes every setting, defaults too; `parse_config` reads the same configuration back."""
    return _format_table(config, "").lstrip("\n")


def first_difference(config: Config, other: Config) -> tuple[str, object, object] | None:
    """The first setting in which two configurations differ: its full name and both values."""
    for name in setting_names():
        value, other_value = attrgetter(name)(config), attrgetter(name)(other)
        if value != other_value:
            return name, value, other_value
    return None


def setting_names() -> tuple[str, ...]:
    """Every setting by its full name, such as "training.lanes"."""
    return tuple(_names(Config, ""))


def _names(kind: type, prefix: str) -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _names(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _build(kind: type[Section], table: Mapping[str, object], prefix: str) -> Section:
    hints = get_type_hints(kind)
    for name in table:
        if name not in hints:
            raise ConfigError(f"{prefix}{name} is not a setting{_suggestion(name, prefix, hints)}")
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]  # every section is a dataclass
        if item.name in table:
            values[item.name] = _value(hints[item.name], table[item.name], prefix + item.name)
        elif _is_required(item):
            raise ConfigError(f"{prefix}{item.name} is missing, and has no default; set it")
    return kind(**values)


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _value(hint: Any, value: object, name: str) -> object:
    """A TOML value as the setting's type."""
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} = {value!r} must be a table, [{name}]")
        return _build(hint, value, f"{name}.")
    if hint == dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise ConfigError(f'{name} = {value!r} must be a table of texts, such as "x" = "g"')
        return value
    if hint == str | tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if not isinstance(value, str):
            raise ConfigError(f'{name} = {value!r} must be text, or a list such as ["a", "b"]')
        return value
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f'{name} = {value!r} must be a list of texts, such as ["a", "b"]')
        return tuple(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{name} = {value!r} must be {_KINDS[hint]}")
    return value


def _suggestion(name: str, prefix: str, here: Mapping[str, object]) -> str:
    """The right name: the same word in another section, or one much like it in this section."""
    if elsewhere := [full for full in setting_names() if full.split(".")[-1] == name]:
        return f"; did you mean {elsewhere[0]}?"
    if near := difflib.get_close_matches(name, here, n=1, cutoff=0.5):
        return f"; did you mean {prefix}{near[0]}?"
    return f"; there are {', '.join(here)}"


def _format_table(section: object, name: str) -> str:
    """One section, followed by the sections inside it."""
    lines = [f"\n[{name}]"] if name else []
    inner = []
    for item in fields(section):  # type: ignore[arg-type]  # every section is a dataclass
        value = getattr(section, item.name)
        path = f"{name}.{item.name}" if name else item.name
        if is_dataclass(value):
            inner.append(_format_table(value, path))
        elif isinstance(value, dict):
            pairs = [f"{_format_text(key)} = {_format_text(text)}" for key, text in value.items()]
            inner.append("\n".join([f"\n[{path}]", *pairs, ""]))
        else:
            lines.append(f"{item.name} = {_format_scalar(value)}")
    return "\n".join([*lines, ""]) + "".join(inner)


def _format_scalar(value: str | bool | int | float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_format_text, value))}]"
    if isinstance(value, str):
        return _format_text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _format_text(text: str) -> str:
    # JSON's escapes are TOML's too; only the delete character is free in JSON and not in TOML.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
