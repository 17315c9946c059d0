"""Settings: defaults < mlpatterns.toml < environment < flags.

``MLPATTERNS_PORT=9000`` sets `port`; ``MLPATTERNS_API_KEYS_FILE=/run/secrets/keys`` reads `api_keys` from a mounted
secret. A field is spelt the same everywhere: ``port`` in the file, ``MLPATTERNS_PORT``, ``--port``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from mlpatterns.errors import SettingsError
from mlpatterns.redaction import redact
from mlpatterns.settings_sources import PREFIX, SETTINGS_FILE, from_environment, from_file

__all__ = [
    "PREFIX", "RESET", "SETTINGS_FILE", "LoadedSettings", "Settings", "cpus", "load_settings", "metrics_folder",
    "of_part", "reset_by", "service_url",
]  # fmt: skip

RESET = f"{PREFIX}WORKER_RESET_SHARED"
SECRET = ("api_keys", "admin_token", "alert_url")  # who knows a webhook may write to it


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings, each with a default that suits a laptop. Sizes in bytes, times in seconds."""

    home: Path = Path(".mlpatterns")
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int = 1
    service: str | None = None
    system: str | None = None
    model: str | None = None
    labels: Path | None = None
    batching: bool = False
    max_batch_size: int = 32

    registry: str | None = None
    artifacts: str | None = None
    api_version: str = "v0.1"
    control: str | None = None
    lease_seconds: float = 10.0
    programs: Literal["inside", "apart", "off"] | None = None
    cache: str = "memory://"
    jobs: str | None = None
    log: str | None = None
    monitor: str | None = None
    batch: str | None = None
    outlier_lower_threshold: Annotated[float, Meta(ge=-1e300)] = 0.0  # nan, to which nothing compares, is refused
    default_threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.95
    alert_url: str | None = None

    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = False

    api_keys: dict[str, str] = field(default_factory=dict)
    admin_token: str | None = None
    context_headers: tuple[str, ...] = (
        "x-request-id",
        "traceparent",
        "tracestate",
        "user-id",
        "target",
        "cache-control",
    )

    request_timeout: float = 30.0
    drain_delay: float = 0.0
    max_concurrency: int = 1024
    max_queue: int = 1024
    max_body_bytes: int = 64 * 1024 * 1024
    max_elements: int = 16 * 1024 * 1024
    max_held_bytes: int = 512 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    threads: int = 0

    root_path: str = ""
    proxy_headers: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def registry_url(self) -> str:
        """Where the model DB is; an SQLite file under `home` unless said otherwise."""
        return self.registry or self._sqlite("registry.db")

    @property
    def control_url(self) -> str:
        """Where shared documents are; an SQLite file under `home` unless said otherwise."""
        return self.control or self._sqlite("control.db")

    @property
    def jobs_url(self) -> str:
        """Where queued jobs are; an SQLite file under `home` unless said otherwise."""
        return self.jobs or self._sqlite("jobs.db")

    @property
    def log_url(self) -> str:
        """Where predictions are logged; an SQLite file under `home` unless said otherwise."""
        return self.log or self._sqlite("log.db")

    @property
    def monitor_url(self) -> str:
        """Where a Monitor keeps what it found; an SQLite file under `home` unless said otherwise."""
        return self.monitor or self._sqlite("monitor.db")

    @property
    def batch_url(self) -> str:
        """The table that a batch run predicts; an SQLite file under `home` unless said otherwise."""
        return self.batch or self._sqlite("items.db")

    @property
    def artifacts_url(self) -> str:
        """What the files of registered models are below; a folder of `home` unless said otherwise."""
        return self.artifacts or (self.home / "artifacts").absolute().as_uri()

    @property
    def programs_inside(self) -> bool:
        """Whether the app runs its programs itself."""
        return self.programs in (None, "inside")

    @property
    def thread_count(self) -> int:
        """How many threads take work off the event loop."""
        return self.threads or max(4, cpus())

    def _sqlite(self, name: str) -> str:
        file = str((self.home / name).absolute())
        return f"sqlite:///{file.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}"


class LoadedSettings(Struct, frozen=True):
    """The settings, and where each that is not a default came from."""

    settings: Settings
    sources: dict[str, str]

    def redacted(self) -> dict[str, tuple[str, str]]:
        """Field -> (value fit to be shown, source)."""
        rows = {}
        for name in Settings.__struct_fields__:
            value = getattr(self.settings, name)
            shown = "(set)" if name in SECRET and value else redact(str(value))
            rows[name] = (shown, self.sources.get(name, "default"))
        return rows


def load_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedSettings:
    """Reads the settings of this process; a flag of None counts as not given.

    Raises:
        SettingsError: a value is malformed, or a file cannot be read.
        UnknownName: the file has a field that does not exist.
    """
    environ = os.environ if environ is None else environ
    fields = Settings.__struct_fields__
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, found in (
        (SETTINGS_FILE, from_file((folder or Path()) / SETTINGS_FILE, fields)),
        ("environment", from_environment(environ, fields)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        for name, value in found.items():
            values[name] = _convert(name, value, source)
            sources[name] = source
    return LoadedSettings(_checked(Settings(**values)), sources)


def service_url(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The address that MLPATTERNS_SERVICE_<NAME>_URL gives to the service `name`, if it runs elsewhere."""
    return of_part("SERVICE", name, "_URL", environ=environ)


def of_part(kind: str, name: str, suffix: str = "", *, environ: Mapping[str, str] | None = None) -> str | None:
    """What the variable MLPATTERNS_<KIND>_<NAME> says of the part `name` of a system, or None."""
    environ = os.environ if environ is None else environ
    return environ.get(f"{PREFIX}{kind}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}{suffix}") or None


def metrics_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where the workers of one `run` share their metrics, or None outside of one."""
    environ = os.environ if environ is None else environ
    folder = environ.get(f"{PREFIX}WORKER_METRICS")
    return Path(folder) if folder else None


def reset_by(environ: Mapping[str, str] | None = None) -> str | None:
    """The `run --reset-shared` that this process belongs to, or None."""
    return (os.environ if environ is None else environ).get(RESET) or None


def cpus() -> int:
    """The CPUs this process may use: its affinity, cut by the cgroup's quota (cgroup v2 `cpu.max`)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def _convert(name: str, value: Any, source: str) -> Any:
    """Text becomes the field's type: lists are comma-separated, mappings are NAME=VALUE,NAME=VALUE."""
    kind = Settings.__annotations__[name]
    if isinstance(value, str) and kind.startswith("tuple"):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, str) and kind.startswith("dict"):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(separator and key.strip() and rest.strip() for key, separator, rest in pairs):
            raise SettingsError(f"{name} ({source}) must be NAME=VALUE,NAME=VALUE")
        value = {key.strip(): rest.strip() for key, _, rest in pairs}
    try:
        return msgspec.convert(value, _TYPES[name], strict=not isinstance(value, str), dec_hook=lambda _, v: Path(v))
    except msgspec.ValidationError as error:
        shown = "its value" if name in SECRET else repr(str(value))
        raise SettingsError(f"{name} ({source}): {shown} is not right: {error}") from error


_TYPES = {info.encode_name: info.type for info in msgspec.structs.fields(Settings)}


def _checked(settings: Settings) -> Settings:
    sizes = ("max_body_bytes", "max_held_bytes", "max_header_bytes")
    for name in ("workers", "lease_seconds", "request_timeout", "max_concurrency", "max_batch_size", *sizes):
        if not getattr(settings, name) > 0:
            raise SettingsError(f"{name} must be greater than 0, not {getattr(settings, name)}")
    for name in ("max_queue", "threads", "drain_delay", "port", "grpc_port"):
        if not (getattr(settings, name) or 0) >= 0:
            raise SettingsError(f"{name} must not be negative, not {getattr(settings, name)}")
    for name in ("port", "grpc_port"):
        if (getattr(settings, name) or 0) > 65_535:
            raise SettingsError(f"{name} must be at most 65535, not {getattr(settings, name)}")
    if settings.admin_token and settings.admin_token in settings.api_keys.values():
        raise SettingsError("admin_token must not be one of the api_keys, or its holder could give commands")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("tls_certificate and tls_key go together: set both or neither")
    return settings
