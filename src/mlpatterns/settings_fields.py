"""Every setting with its default, and the URLs of the stores that have no setting."""

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
AnyNumber = Annotated[float, Meta(ge=-1e300)]  # refuses NaN, for which every comparison is false


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings, each with a default that suits a laptop. Sizes are in bytes, times in seconds.

    A store without a URL is an SQLite file under `home`. `docs/operations.md` describes each setting in detail.

    Attributes:
        home: the folder for everything that is written.
        host, port: where HTTP listens; port 0 takes a free port.
        grpc_port: where gRPC listens on the same host; 0 takes a free port; None turns gRPC off.
        workers: the number of serving processes behind one socket.
        service: the name of the one `Service` of the target that this process serves.
        system: the first part of the paths of all pieces. It separates deployments that share a `control` store.
        model: another model for a pattern: a reference or an ONNX file.
        labels, columns: the class names and the column names of a model that has none: names, or a file of names.
        missing: the columns or inputs that accept null, which becomes NaN; ``all`` is every float column.
        threshold: for a model with one score and two labels: a score above it means the second label.
        sample: a file of rows that the model can predict.
        provider: the execution providers of ONNX Runtime, best first; the first must be available.
        session: the options of ONNX Runtime's sessions.
        custom_ops: the libraries of custom operators that models need.
        arena: whether ONNX Runtime keeps the memory of its runs, or gives it back.
        extra_columns: whether a request with unknown columns is refused, or the columns are ignored.
        batching, max_batch_size: whether an ONNX file is called with batches, and the most rows of one batch.
        registry: the URL of the model DB.
        artifacts: the URL of the folder that holds the files of registered models; by default a folder of `home`.
        api_version: the version in the paths of the model DB's HTTP service.
        control: the URL of the store that workers and replicas share.
        lease_seconds: how long after its last renewal a lease ends and another process may take over its work.
        programs: where programs run; by default inside the worker, or in a separate process beside several workers.
        cache: the URL of the caches.
        jobs, log, monitor: the URLs of the job queue, of the logged predictions, and of the windows of a Monitor.
        batch: the URL of the table that a batch run predicts.
        outlier_lower_threshold: a row whose score is lower is an outlier.
        default_threshold: the least score for which a part of a Thresholds answers 1.
        alert_url: the webhook that receives the alerts of a Monitor.
        log_format, log_level: the format and the level of the log on standard error.
        access_log: whether each request is logged.
        api_keys: the API keys by the name of their holder. If there are any, every request but health needs one.
        admin_token: the token that allows commands. Without it no commands are possible.
        context_headers: the request headers that pieces may read.
        request_timeout: the most time for one request; a client may ask for less.
        send_timeout: a client that reads nothing of its answer for this time is disconnected.
        drain_delay: how long the server keeps accepting requests after SIGTERM.
        max_concurrency, max_queue: the requests that a model runs at once, and those that may wait for it.
        max_body_bytes: the size of one request body, also after decompression.
        max_elements: the elements of one tensor.
        max_held_bytes: the size of all bodies and unsent answers together that one worker holds.
        max_header_bytes: the size of all headers of one request.
        max_grpc_streams: the calls that one gRPC connection has open at once; further calls wait in the client.
        threads: the threads for work off the event loop; 0 is the number of CPUs, at least 4.
        root_path: the path prefix that a proxy in front removes.
        proxy_headers: whether ``X-Forwarded-For`` and ``-Proto`` are trusted.
        cors_origins: the origins whose pages may send requests; ``*`` is every origin.
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
    max_grpc_streams: AtLeastOne = 64
    threads: Count = 0

    root_path: str = ""
    proxy_headers: bool = False
    cors_origins: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def registry_url(self) -> str:
        """The URL of the model DB."""
        return self.registry or self._sqlite("registry.db")

    @property
    def control_url(self) -> str:
        """The URL of the store that workers and replicas share."""
        return self.control or self._sqlite("control.db")

    @property
    def jobs_url(self) -> str:
        """The URL of the job queue."""
        return self.jobs or self._sqlite("jobs.db")

    @property
    def log_url(self) -> str:
        """The URL of the logged predictions."""
        return self.log or self._sqlite("log.db")

    @property
    def monitor_url(self) -> str:
        """The URL of the windows of a Monitor."""
        return self.monitor or self._sqlite("monitor.db")

    @property
    def batch_url(self) -> str:
        """The URL of the table that a batch run predicts."""
        return self.batch or self._sqlite("items.db")

    @property
    def artifacts_url(self) -> str:
        """The URL of the folder that holds the files of registered models."""
        return self.artifacts or (self.home / "artifacts").absolute().as_uri()

    @property
    def programs_inside(self) -> bool:
        """Whether each serving process runs the programs itself."""
        return self.programs in (None, "inside")

    @property
    def thread_count(self) -> int:
        """The number of threads for work off the event loop."""
        return self.threads or max(4, cpus())

    def _sqlite(self, name: str) -> str:
        return sqlite_url(self.home / name)


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file: reserved characters are percent-encoded (RFC 3986, section 2.1)."""
    path = str(file.absolute())
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}"


def cpus() -> int:
    """The number of CPUs that this process may use: its affinity, limited by its cgroup's quota (v2, `cpu.max`)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
