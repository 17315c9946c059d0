"""`mlpatterns batch run --model NAME IN OUT`: predicts every row of a file or a table."""

from __future__ import annotations

from typing import Annotated

import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.model_flags import check_model
from mlpatterns.user_errors import WrongUse

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Predict every row of a table or file.")


@app.callback()
def group() -> None:
    """Predict every row of a table or file."""


@app.command("run")
def run(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="FILE.csv, FILE.parquet, or a table: sqlite:///FILE?table=NAME&key=ID.")
    ],
    sink: Annotated[
        str,
        typer.Argument(metavar="OUT", help="As IN; a .parquet becomes a folder of parts, and a table is created."),
    ],
    model: Annotated[str, flag("NAME, NAME@ALIAS, NAME:3 or FILE.onnx.")],
    where: Annotated[str, flag("Only rows that match, e.g. \"species = 'setosa' and petal_length > 1.5\".")] = "",
    cron: Annotated[str | None, flag("Run at once, then by this cron schedule (UTC), until SIGTERM.")] = None,
    restart: Annotated[bool, flag("Start over, and delete what earlier runs wrote to OUT.", "--restart")] = False,
    batch_rows: Annotated[
        int | None, flag("Rows per model call. (default: the best number, found in the first second)")
    ] = None,
) -> None:
    """Predict every row of IN once, and write the results to OUT.

    If a run was stopped or killed, the same command continues where it stopped.
    """
    if batch_rows is not None and batch_rows < 1:
        raise WrongUse("--batch-rows must be at least 1")
    check_model(model)

    from mlpatterns.cli.batch_running import run_once, run_scheduled

    if cron is not None:
        run_scheduled(model, source, sink, where=where, cron=cron, restart=restart, batch_rows=batch_rows)
    else:
        run_once(model, source, sink, where=where, restart=restart, batch_rows=batch_rows)
