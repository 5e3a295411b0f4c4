"""What a server can be told, from the command line or the environment.

Owns every default with its unit and its reason, and the only reading of the environment.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from service.errors import SettingsError
from service.logs import Format, Level

Provider = Literal["cpu", "cuda", "auto"]
_PREFIX = "STATEWISE_"
_WANTED: dict[object, str] = {int: "a whole number", bool: "true or false"}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_CHOICES: dict[str, tuple[str, ...]] = {
    "provider": get_args(Provider),
    "log_format": get_args(Format),
    "log_level": get_args(Level),
}
# Lowest and highest value of each setting that is a number.
_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65_535),
    "metrics_port": (-1, 65_535),
    "max_streams": (1, 10_000_000),
    "max_batch": (1, 65_536),
    "max_chunk_steps": (1, 1_000_000),
    "max_id_length": (1, 65_536),
    "sequence_idle_seconds": (0.001, 1e9),
    "stream_idle_seconds": (0, 1e9),
    "unload_seconds": (0, 86_400),
    "watch_seconds": (0, 86_400),
    "max_message_bytes": (1_024, 2**31 - 1),
    "stream_window_bytes": (16_384, 2**30),
    "inline_limit_ms": (0, 1_000),
    "workers": (1, 1_024),
    "worker": (0, 1),
    "state_bytes": (1_024, 2**50),
    "state_seconds": (0.001, 1e9),
    "checkpoint_ms": (1, 3_600_000),
    "checkpoint_steps": (0, 2**50),
    "max_unacknowledged_bytes": (0, 2**40),
    "drain_seconds": (0, 86_400),
    "max_caller_streams": (1, 10_000_000),
    "max_requests": (1, 100_000_000),
}


@dataclass(frozen=True)
class Settings:
    """Settings of one server, checked when they are built.

    Attributes:
        model_repository: folder with <name>/<version>/model.onnx.
        host: address to listen on. Loopback, where only this machine's callers are: another needs
            token_file, tls_client_ca or insecure_any_host.
        port: gRPC port; 0 takes a free one and prints it.
        metrics_port: HTTP port of the Prometheus metrics; 0 takes a free one, -1 has none.
        metrics_host: address of the metrics. Loopback: they ask nobody who he is.
        provider: execution provider. CPU, since its bits are exact in every company.
        max_streams: open streams a model. A stream costs its state in the arena (0.5 KB at 128
            units) and about 30 KB in gRPC, so that 10,000 fit in 400 MB.
        max_batch: rows of one call. Wider batches gain little and make one tick long.
        max_chunk_steps: steps one chunk may carry. Enough for a minute at 100 steps a second.
        max_id_length: characters of a stream id. Room for two UUIDs and a name.
        sequence_idle_seconds: how long a sequence of the Open Inference Protocol may be silent
            before it ends, where its config.pbtxt says nothing. A minute outlasts a reconnect.
        stream_idle_seconds: how long a native stream may be silent in an open call before it is
            kept and the call ended; 0 sets no limit. None, since a silent call costs one stream of
            its caller's, while a kept one is forgotten after state_seconds: a sensor may report
            once a day.
        unload_seconds: how long open streams may go on with a version that was unloaded.
        watch_seconds: between two looks at the model repository for changes; 0 never looks.
        max_message_bytes: largest request. gRPC's own default, far above a sensor's chunk.
        stream_window_bytes: what a caller may send ahead of what this server has read, on a stream
            and in flight on a connection. A quarter of a MiB carries 50,000 steps of 32 numbers a
            second over 40 ms there and back; left to itself, gRPC lets it grow to several MB a
            stream for a caller that does not read.
        inline_limit_ms: time of 32 rows above which the model runs on a thread, in milliseconds.
            A hand-over costs up to a switch interval (5 ms), a long tick holds up all messages.
        workers: processes that share the port, one a core. One, since a sequence of the Open
            Inference Protocol has to keep its connection where there are several.
        worker: 1 in a process that a supervisor started.
        state_store: where states are kept beside the arena: memory:, sqlite:PATH or redis://.
            Memory, which needs nothing and outlives a connection; the others outlive the process.
        state_bytes: most bytes of states that a store keeps. Half a million streams of 128 units.
        state_seconds: how long a stream that nobody advances is kept. An hour outlasts a night's
            train tunnel, and a client that never comes back is forgotten the same day.
        checkpoint_ms: between two checkpoints of a stream that goes on, in milliseconds; that much
            is computed again after a crash. Where a round takes long, the next waits for longer,
            so that checkpoints never take more than a twentieth of the time.
        checkpoint_steps: a stream that took so many steps since its last checkpoint has one now; 0
            leaves it to the time.
        max_unacknowledged_bytes: results of one stream that are kept until its caller says that it
            has them. Beyond that the oldest go, and can't be sent again; the newest stays.
        drain_seconds: how long open streams may go on after SIGTERM that no other server can go
            on with: all those with a memory store, else the ephemeral ones. Below the 30 s that
            orchestrators wait before they kill.
        tls_cert: PEM file of the server's certificate chain; without it the port speaks in the
            clear. It and its key are read again when they change.
        tls_key: PEM file of its key, without a password.
        tls_client_ca: PEM file of the authorities whose client certificates are asked for.
        token_file: TOML file of callers and their tokens; without it, and without tls_client_ca,
            everybody who can connect may do everything.
        insecure_any_host: whether that holds on an address that other machines reach, too.
        state_key_file: keys that sign states, a line of hexadecimal digits each; without it they
            carry a checksum only, which anybody can make.
        max_caller_streams: open streams of one caller, where the token file says nothing. As many
            as a model has: a limit is for those who share a server.
        max_requests: requests of the Open Inference Protocol under way. Each waits in memory: at
            1 KB, a rich sensor's step, all take 50 MB.
        log_format: of the log on standard error: console for people, json for programs.
        log_level: least that is written. Info: a line a load, resume or failure; debug adds one
            an open and a close. Messages are never logged.
    """

    model_repository: Path
    host: str = "127.0.0.1"
    port: int = 8500
    metrics_port: int = 9100
    metrics_host: str = "127.0.0.1"
    provider: Provider = "cpu"
    max_streams: int = 10_000
    max_batch: int = 256
    max_chunk_steps: int = 8_192
    max_id_length: int = 128
    sequence_idle_seconds: float = 60.0
    stream_idle_seconds: float = 0.0
    unload_seconds: float = 60.0
    watch_seconds: float = 0.0
    max_message_bytes: int = 4 * 1024 * 1024
    stream_window_bytes: int = 256 * 1024
    inline_limit_ms: float = 1.0
    workers: int = 1
    worker: int = 0
    state_store: str = "memory:"
    state_bytes: int = 1024**3
    state_seconds: float = 3_600.0
    checkpoint_ms: float = 500.0
    checkpoint_steps: int = 0
    max_unacknowledged_bytes: int = 1024 * 1024
    drain_seconds: float = 25.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    token_file: Path | None = None
    insecure_any_host: bool = False
    state_key_file: Path | None = None
    max_caller_streams: int = 10_000
    max_requests: int = 50_000
    log_format: Format = "console"
    log_level: Level = "info"

    def __post_init__(self) -> None:
        """Refuses values that no server could run with."""
        for name, (low, high) in _RANGES.items():
            within(name, getattr(self, name), low, high)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise SettingsError(f"{name} is {value!r}; take one of {', '.join(choices)}")
        self._check_access()

    @property
    def anonymous(self) -> bool:
        """Whether nobody is asked who he is."""
        return self.token_file is None and self.tls_client_ca is None

    @property
    def cautions(self) -> list[str]:
        """What can be meant so, and is a mistake more often; each with its remedy."""
        found = []
        if self.token_file and not self.tls_cert and not _is_loopback(self.host):
            found.append(
                f"host is {self.host}, and without TLS tokens can be read on their way to it; give "
                "--tls-cert and --tls-key, or see that what stands before this server takes TLS"
            )
        if self.workers > 1 and self.state_store == "memory:":
            found.append(
                f"workers is {self.workers}, and each keeps states in a memory of its own: whether "
                "a resume, an export or a close finds a stream depends on the worker that answers; "
                "give --state-store sqlite:PATH or redis://HOST:PORT/DB"
            )
        return found

    def _check_access(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_key", "tls_cert") if self.tls_key else ("tls_cert", "tls_key")
            raise SettingsError(f"{given} is set and {missing} is not; give both, or neither")
        if self.tls_client_ca and not self.tls_cert:
            raise SettingsError("tls_client_ca is set and tls_cert is not; give tls_cert, tls_key")
        if self.anonymous and not self.insecure_any_host and not _is_loopback(self.host):
            raise SettingsError(
                f"host is {self.host}, which other machines may reach, and nobody would be asked "
                "who he is; give --token-file or --tls-client-ca, or --insecure-any-host to let "
                "everybody in"
            )

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """Settings by name.

        Raises:
            SettingsError: one is out of its range, or the model repository is missing.
        """
        if "model_repository" not in values:
            raise SettingsError("model_repository is not set; give --model-repository DIR")
        return cls(**values)


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Settings named by STATEWISE_<NAME>, converted to their types.

    Raises:
        SettingsError: a value is not of its setting's type.
    """
    found: dict[str, object] = {}
    for setting in fields(Settings):
        variable = _PREFIX + setting.name.upper()
        # Kubernetes sets STATEWISE_PORT to an address where a Service is called statewise.
        text = environment.get(variable, "")
        if text and not text.startswith("tcp://"):
            found[setting.name] = _convert(variable, text, setting.type)
    return found


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables from which another process reads the same settings."""
    values = {setting.name: getattr(settings, setting.name) for setting in fields(Settings)}
    return {
        _PREFIX + name.upper(): "" if value is None else str(value)
        for name, value in values.items()
    }


def _convert(variable: str, text: str, kind: object) -> object:
    if kind in (Path, Path | None):
        return Path(text)
    try:
        if kind is bool:
            return _TRUTH[text.lower()]
        return kind(text) if kind in (int, float) and isinstance(kind, type) else text
    except (ValueError, KeyError):
        wanted = _WANTED.get(kind, "a number")
        raise SettingsError(f"{variable} is {text!r}; set it to {wanted}") from None


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; of a name other than localhost, no."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def address(host: str, port: int) -> str:
    """A host and a port as gRPC takes them: an IPv6 host, given as it may be, in brackets."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuses a value outside a range.

    Raises:
        SettingsError: names it, and the range; for NaN as well.
    """
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}; take a value from {low} to {high}")
