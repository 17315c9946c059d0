"""`mlpatterns run TARGET`: serve a pattern, a Python file or a bare ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlpatterns.cli.flags import apply_flags

__all__ = ["command"]

MODEL, SERVER, LIMITS, LOGS, SECURITY = "What is served", "Server", "Limits", "Logs", "Access"


def command(
    target: Annotated[str, typer.Argument(metavar="NAME|FILE.py[:app]|FILE.onnx", help="What to serve.")],
    model: Annotated[
        str | None,
        typer.Option(help="Another model for a pattern: NAME, NAME@ALIAS, NAME:3 or file:PATH.", rich_help_panel=MODEL),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Its class names: one a line, or a JSON list.", rich_help_panel=MODEL)
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="Serve only this Service of the target.", rich_help_panel=MODEL)
    ] = None,
    host: Annotated[str | None, typer.Option(help="(default: 127.0.0.1)", rich_help_panel=SERVER)] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", help="0 takes a free one. (default: 8000)", rich_help_panel=SERVER)
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="Serve gRPC too; 0 takes a free port. (default: off)", rich_help_panel=SERVER)
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Serving processes. (default: 1)", rich_help_panel=SERVER)
    ] = None,
    programs: Annotated[
        str | None,
        typer.Option(
            help="Where job workers, monitors and their like run: inside, apart (a process of their own) or off. "
            "(default: inside, beside several workers apart)",
            rich_help_panel=SERVER,
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a file beside the target changes.", rich_help_panel=SERVER)
    ] = False,
    root_path: Annotated[
        str | None, typer.Option(help="The path prefix that a proxy in front removes.", rich_help_panel=SERVER)
    ] = None,
    proxy_headers: Annotated[
        bool | None,
        typer.Option("--proxy-headers", help="Believe X-Forwarded-For and -Proto of a proxy.", rich_help_panel=SERVER),
    ] = None,
    drain_delay: Annotated[
        float | None,
        typer.Option(help="Seconds to go on serving after SIGTERM. (default: 0)", rich_help_panel=SERVER),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads for work off the event loop.", rich_help_panel=SERVER)
    ] = None,
    request_timeout: Annotated[
        float | None, typer.Option(help="Seconds a request may take. (default: 30)", rich_help_panel=LIMITS)
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="Requests answered at once. (default: 1024)", rich_help_panel=LIMITS)
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option(help="Requests that may wait. (default: 1024)", rich_help_panel=LIMITS)
    ] = None,
    max_body_bytes: Annotated[
        int | None, typer.Option(help="Bytes of one body. (default: 64 MiB)", rich_help_panel=LIMITS)
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. (default: text)", rich_help_panel=LOGS)] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. (default: info)", rich_help_panel=LOGS)
    ] = None,
    access_log: Annotated[
        bool | None, typer.Option("--access-log", help="Log every request.", rich_help_panel=LOGS)
    ] = None,
    api_keys: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=KEY,…",
            help="Who may ask. Others can see a command line: better MLPATTERNS_API_KEYS_FILE.",
            rich_help_panel=SECURITY,
        ),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file, for https.", rich_help_panel=SECURITY)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.", rich_help_panel=SECURITY)] = None,
) -> None:
    """Serve a pattern, your Python file or a bare ONNX model over HTTP, and gRPC if asked.

    Every flag but --reload can be set in mlpatterns.toml or as MLPATTERNS_NAME; `mlpatterns settings` shows all.
    """
    flags = dict(locals())  # every argument that was given, by the name of its setting
    del flags["target"], flags["reload"]
    settings = apply_flags(flags)

    from mlpatterns.launch.target import load_target, source_of

    app = load_target(target)  # here too, so that a mistake is told before any worker starts
    if settings.workers > 1 or reload or settings.programs == "apart":
        from mlpatterns.launch.supervisor import supervise

        supervise(source_of(target), settings, title=target, reload=reload)
    else:
        from mlpatterns.launch.worker import run_worker

        run_worker(app, settings, title=target)
