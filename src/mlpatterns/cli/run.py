"""`mlpatterns run TARGET`: serves a pattern, a registered model, a Python file or ONNX files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.cli.model_flags import (
    PANEL,
    Arena,
    Columns,
    CustomOps,
    ExtraColumns,
    Labels,
    Missing,
    Provider,
    SampleFile,
    Session,
    Threshold,
    from_anywhere,
)
from mlpatterns.ids import new_id
from mlpatterns.settings import RESET

__all__ = ["command"]

MODEL, SERVER, LIMITS, LOGS, SECURITY = PANEL, "Server", "Limits", "Logs", "Access"
PROGRAMS = (
    "Where background programs, such as job workers and monitors, run: inside the server, apart (in a separate "
    "process) or off. (default: inside; apart if there are several workers)"
)
KEYS = (
    "Keys of the clients that may send requests. Other users can see a command line: prefer MLPATTERNS_API_KEYS_FILE."
)


def command(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|FILE.py[:app]|FILE.onnx…",
            help="What to serve: a pattern, a registered model (NAME, NAME@ALIAS, NAME:3), a file, or several ONNX "
            "files, each at /models/NAME/predict.",
        ),
    ],
    model: Annotated[
        str | None, flag("Another model for a pattern: NAME, NAME@ALIAS, NAME:3 or FILE.onnx.", panel=MODEL)
    ] = None,
    labels: Labels = None,
    columns: Columns = None,
    missing: Missing = None,
    threshold: Threshold = None,
    sample: SampleFile = None,
    extra_columns: ExtraColumns = None,
    provider: Provider = None,
    session: Session = None,
    custom_ops: CustomOps = None,
    arena: Arena = None,
    batching: Annotated[
        bool | None,
        flag("For an ONNX file: requests that arrive together go to the model in batches.", "--batch", panel=MODEL),
    ] = None,
    max_batch_size: Annotated[int | None, flag("The most rows in one batch. (default: 32)", panel=MODEL)] = None,
    service: Annotated[str | None, flag("Serve only this Service of the target.", panel=MODEL)] = None,
    host: Annotated[str | None, flag("The address to listen on. (default: 127.0.0.1)", panel=SERVER)] = None,
    port: Annotated[
        int | None, flag("The port; 0 takes a free one. (default: 8000)", "--port", "-p", panel=SERVER)
    ] = None,
    grpc_port: Annotated[int | None, flag("Serve gRPC too; 0 takes a free port. (default: off)", panel=SERVER)] = None,
    workers: Annotated[int | None, flag("Serving processes. (default: 1)", "--workers", "-w", panel=SERVER)] = None,
    programs: Annotated[str | None, flag(PROGRAMS, panel=SERVER)] = None,
    reload: Annotated[bool, flag("Restart when a file beside the target changes.", "--reload", panel=SERVER)] = False,
    reset_shared: Annotated[
        bool, flag("Reset what commands have changed: weights, thresholds, pins, forced states.", "--reset-shared")
    ] = False,
    root_path: Annotated[str | None, flag("The path prefix that a proxy in front removes.", panel=SERVER)] = None,
    proxy_headers: Annotated[
        bool | None, flag("Trust X-Forwarded-For and -Proto of a proxy.", "--proxy-headers", panel=SERVER)
    ] = None,
    cors_origins: Annotated[
        str | None, flag("Sites whose pages may send requests: https://a.example,… or *. (default: none)", panel=SERVER)
    ] = None,
    drain_delay: Annotated[
        float | None, flag("Seconds to keep serving after SIGTERM. (default: 0)", panel=SERVER)
    ] = None,
    threads: Annotated[int | None, flag("Threads for work off the event loop.", panel=SERVER)] = None,
    request_timeout: Annotated[float | None, flag("Seconds a request may take. (default: 30)", panel=LIMITS)] = None,
    max_concurrency: Annotated[
        int | None, flag("The most requests in progress at once. (default: 1024)", panel=LIMITS)
    ] = None,
    max_queue: Annotated[int | None, flag("The most requests that may wait. (default: 1024)", panel=LIMITS)] = None,
    max_body_bytes: Annotated[
        int | None, flag("The most bytes in one request body. (default: 64 MiB)", panel=LIMITS)
    ] = None,
    log_format: Annotated[str | None, flag("text or json. (default: text)", panel=LOGS)] = None,
    log_level: Annotated[str | None, flag("debug, info, warning or error. (default: info)", panel=LOGS)] = None,
    access_log: Annotated[bool | None, flag("Log every request.", "--access-log", panel=LOGS)] = None,
    api_keys: Annotated[str | None, flag(KEYS, metavar="NAME=KEY,…", panel=SECURITY)] = None,
    tls_certificate: Annotated[Path | None, flag("PEM file of the certificate, for https.", panel=SECURITY)] = None,
    tls_key: Annotated[Path | None, flag("PEM file of the certificate's key.", panel=SECURITY)] = None,
) -> None:
    """Serve a pattern, a registered model, your Python file or ONNX files over HTTP, and over gRPC with --grpc-port.

    Every flag but --reload and --reset-shared can be set in mlpatterns.toml or as MLPATTERNS_NAME; `mlpatterns
    settings` shows all.
    """
    flags = dict(locals())  # every argument, by the name of its setting
    del flags["targets"], flags["reload"], flags["reset_shared"]
    settings = apply_flags(from_anywhere(flags))
    if reset_shared:
        os.environ[RESET] = new_id()  # one id for all workers

    from mlpatterns.launch.target import SEVERAL, load_target, source_of

    target, title = SEVERAL.join(targets), ", ".join(targets)
    app = load_target(target)  # so that an error is found before any worker starts
    if settings.workers > 1 or reload or settings.programs == "apart":
        from mlpatterns.launch.supervisor import supervise
        from mlpatterns.server.app import App

        # Workers load a pattern from its file and do not know its name, but their shared state is stored by that name.
        apply_flags({"system": settings.system or (app.system if isinstance(app, App) else None) or None})
        supervise(source_of(target), settings, title=title, reload=reload)
    else:
        from mlpatterns.launch.signals import release_hangup
        from mlpatterns.launch.worker import run_worker

        release_hangup()
        run_worker(app, settings, title=title)
