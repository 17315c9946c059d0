"""Every setting with its default: what there is to decide, and where its embedded stores lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

__all__ = ["Settings", "cpus"]


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
    columns: str | None = None
    missing: tuple[str, ...] = ()
    threshold: Annotated[float, Meta(ge=-1e300)] | None = None
    sample: Path | None = None
    provider: tuple[str, ...] = ()
    session: dict[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    extra_columns: Literal["refuse", "ignore"] = "refuse"
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
    cors_origins: tuple[str, ...] = ()
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


def cpus() -> int:
    """The CPUs this process may use: its affinity, cut by the cgroup's quota (cgroup v2 `cpu.max`)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
