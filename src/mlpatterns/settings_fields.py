"""Every setting with its default: what there is to decide, and where its embedded stores lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

__all__ = ["Settings", "cpus", "sqlite_url"]

Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0.0)]
AnyNumber = Annotated[float, Meta(ge=-1e300)]  # nan, to which nothing compares, is refused


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings, each with a default that suits a laptop. Sizes in bytes, times in seconds.

    Where a store has no URL, it is an SQLite file under `home`. `docs/operations.md` says more of each.

    Attributes:
        home: where all that is written lies.
        host, port: where to listen; port 0 takes a free one.
        grpc_port: serves gRPC there too; 0 takes a free one.
        workers: serving processes behind one socket.
        service: the one `Service` of the file to serve.
        system: the first part of the paths of all pieces: tells deployments apart that share a `control` store.
        model: another model for a pattern: a reference or an ONNX file.
        labels, columns: the model's class names and its columns, where it has none: names or a file.
        missing: columns or inputs that accept null, which becomes NaN; ``all`` for every one of floats.
        threshold: where one score has two labels: above it, it is the second.
        sample: a file of rows that the model can predict.
        provider: ONNX Runtime's execution providers, best first; the first must be there.
        session: options of ONNX Runtime's sessions.
        custom_ops: libraries of operators that models need.
        arena: whether ONNX Runtime keeps the memory of its runs, or gives it back.
        extra_columns: whether columns that the model does not know are refused or left out.
        batching, max_batch_size: whether an ONNX file is asked in batches, and of how many rows at most.
        registry: URL of the model DB.
        artifacts: URL that the files of registered models are below; by default a folder of `home`.
        api_version: of the paths of the model DB's service.
        control: URL of what workers and replicas share.
        lease_seconds: after its last sign of life, until the work of a process is given to another.
        programs: where programs run; by default inside, and apart beside several workers.
        cache: URL of the caches.
        jobs, log, monitor: URLs of jobs, of logged predictions, and of what a Monitor finds.
        batch: URL of the table that a batch run predicts.
        outlier_lower_threshold: a row is an outlier where its score is lower.
        default_threshold: from which score a part of a Thresholds answers 1.
        alert_url: a webhook that a Monitor tells of its alerts.
        log_format, log_level: of the log on stderr.
        access_log: whether each request is logged.
        api_keys: keys by the name of who has them; set, every request but health needs one.
        admin_token: set, commands are on for who sends it.
        context_headers: the headers that pieces may read.
        request_timeout: for one request; clients may ask for less.
        send_timeout: after it, a client that takes nothing of its answer is disconnected.
        drain_delay: how long to go on serving after SIGTERM.
        max_concurrency, max_queue: requests that a model answers at once, and that may wait for it.
        max_body_bytes: of one body, also after decompression.
        max_elements: of one tensor.
        max_held_bytes: of all bodies and unsent answers that one worker holds.
        max_header_bytes: of all headers of a request.
        threads: for work off the event loop; 0 is the number of CPUs, at least 4.
        root_path: the path prefix that a proxy removes.
        proxy_headers: whether ``X-Forwarded-For`` and ``-Proto`` are believed.
        cors_origins: sites whose pages may ask; ``*`` is every one.
        tls_certificate, tls_key: PEM files; set both for https.
    """

    home: Path = Path(".mlpatterns")
    host: str = "127.0.0.1"
    port: Port = 8000
    grpc_port: Port | None = None
    workers: AtLeastOne = 1
    service: str | None = None
    system: str | None = None
    model: str | None = None
    labels: Path | None = None
    columns: str | None = None
    missing: tuple[str, ...] = ()
    threshold: AnyNumber | None = None
    sample: Path | None = None
    provider: tuple[str, ...] = ()
    session: dict[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    arena: Literal["keep", "off"] = "keep"
    extra_columns: Literal["refuse", "ignore"] = "refuse"
    batching: bool = False
    max_batch_size: AtLeastOne = 32

    registry: str | None = None
    artifacts: str | None = None
    api_version: str = "v0.1"
    control: str | None = None
    lease_seconds: Seconds = 10.0
    programs: Literal["inside", "apart", "off"] | None = None
    cache: str = "memory://"
    jobs: str | None = None
    log: str | None = None
    monitor: str | None = None
    batch: str | None = None
    outlier_lower_threshold: AnyNumber = 0.0
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

    request_timeout: Seconds = 30.0
    send_timeout: Seconds = 30.0
    drain_delay: Annotated[float, Meta(ge=0.0)] = 0.0
    max_concurrency: AtLeastOne = 1024
    max_queue: Count = 1024
    max_body_bytes: AtLeastOne = 64 * 1024 * 1024
    max_elements: AtLeastOne = 16 * 1024 * 1024
    max_held_bytes: AtLeastOne = 512 * 1024 * 1024
    max_header_bytes: AtLeastOne = 32 * 1024
    threads: Count = 0

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
        return sqlite_url(self.home / name)


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file: what has a meaning in URLs is percent-encoded (RFC 3986, section 2.1)."""
    path = str(file.absolute())
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}"


def cpus() -> int:
    """The CPUs this process may use: its affinity, cut by the cgroup's quota (cgroup v2 `cpu.max`)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
