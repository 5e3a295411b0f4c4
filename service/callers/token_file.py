"""The file of callers that people write by hand: TOML, one `[[caller]]` each.

    [[caller]]
    name = "ward-7"
    token_sha256 = "9f86d081..."       # or token = "...", or certificate = "ward-7.example"
    permissions = ["stream"]           # or "admin" as well; "stream" alone where it is left out
    max_streams = 500
    max_steps_per_second = 50000

Owns its form and its checks. A token is kept as its hash from here on; no error repeats one.
"""

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.private import read_private

PERMISSIONS = frozenset({"stream", "admin"})
_HASH = re.compile(r"[0-9a-fA-F]{64}")
# 16 characters of `openssl rand -hex` are 64 bits: no fewer can be called a secret.
_SHORTEST_TOKEN = 16
_LONGEST_NAME = 128
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "token": str,
    "token_sha256": str,
    "certificate": str,
    "permissions": list,
    "max_streams": int,
    "max_steps_per_second": (int, float),
}


@dataclass(frozen=True)
class Caller:
    """One entry.

    Attributes:
        token_hash: SHA-256 of the token; b"" for none.
        certificate: common name or alternative name of a client certificate; "" for none.
        max_streams: None for the server's own limit.
        max_steps_per_second: 0 for no limit.
    """

    name: str
    token_hash: bytes = field(repr=False)
    certificate: str
    permissions: frozenset[str]
    max_streams: int | None
    max_steps_per_second: float


def hash_token(token: str) -> bytes:
    """What is kept and compared of a token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def load_callers(path: Path) -> list[Caller]:
    """The callers of a file.

    Raises:
        SettingsError: it can't be read, is no TOML, or an entry is none.
    """
    text = read_private("token_file", path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Only the place: the error may quote what stands there.
        line = re.search(r"line \d+", str(error))
        raise _mistake(path, f"it is no TOML at {line.group() if line else 'its end'}") from None
    entries = content.pop("caller", [])
    if content or not isinstance(entries, list) or not entries:
        raise _mistake(path, "it is no list of [[caller]] entries and nothing else")
    callers = [_caller(path, number, entry) for number, entry in enumerate(entries, 1)]
    for what in ("name", "token_hash", "certificate"):
        given = [value for caller in callers if (value := getattr(caller, what))]
        if len(set(given)) < len(given):
            raise _mistake(path, f"it has one {what} at two callers; give each its own")
    return callers


def _caller(path: Path, number: int, entry: Any) -> Caller:
    where = f"entry {number}"
    if not isinstance(entry, dict):
        raise _mistake(path, f"{where} is no table; write [[caller]]")
    for key, value in entry.items():
        kind = _FIELDS.get(key)
        if kind is None:
            raise _mistake(path, f"{where} has {key!r}; take {', '.join(_FIELDS)}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _mistake(path, f"{where} has a {key} of another kind")
    name = entry.get("name", "")
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise _mistake(path, f"{where} has no name of 1 to {_LONGEST_NAME} characters")
    certificate, token_hash = entry.get("certificate", ""), _token_hash(path, name, entry)
    if not token_hash and not certificate:
        raise _mistake(
            path, f"caller {name} has none of token, token_sha256, certificate; give one"
        )
    return Caller(
        name,
        token_hash,
        certificate,
        _permissions(path, name, entry.get("permissions", ["stream"])),
        _positive(path, name, entry, "max_streams"),
        _positive(path, name, entry, "max_steps_per_second") or 0.0,
    )


def _token_hash(path: Path, name: str, entry: dict[str, Any]) -> bytes:
    token, written = entry.get("token"), entry.get("token_sha256")
    if token is not None and written is not None:
        raise _mistake(path, f"caller {name} has a token and a token_sha256; keep one")
    if token is not None:
        if len(token) < _SHORTEST_TOKEN:
            raise _mistake(
                path,
                f"caller {name} has a token of {len(token)} characters; take at "
                f"least {_SHORTEST_TOKEN} (openssl rand -hex 32)",
            )
        return hash_token(token)
    if written is None:
        return b""
    if not _HASH.fullmatch(written):
        raise _mistake(
            path,
            f"caller {name} has a token_sha256 of other than 64 hexadecimal digits; take those "
            "that `openssl dgst -sha256` prints",
        )
    return bytes.fromhex(written)


def _permissions(path: Path, name: str, given: list[Any]) -> frozenset[str]:
    unknown = [one for one in given if not isinstance(one, str) or one not in PERMISSIONS]
    if unknown or not given:
        raise _mistake(
            path, f"caller {name} has permissions other than {' and '.join(sorted(PERMISSIONS))}"
        )
    return frozenset(given)


def _positive(path: Path, name: str, entry: dict[str, Any], field_name: str) -> Any:
    value = entry.get(field_name)
    if value is not None and not 0 < value < float("inf"):
        raise _mistake(path, f"caller {name} has {field_name} {value}; take 1 or more")
    return value


def _mistake(path: Path, what: str) -> SettingsError:
    return SettingsError(f"token_file is {path}: {what}")
