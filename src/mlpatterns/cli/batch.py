"""`mlpatterns batch run --model NAME IN OUT`: predicts every row of a file or a table."""

from __future__ import annotations

from typing import Annotated

import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.model_flags import check_model
from mlpatterns.user_errors import WrongUse

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Predictions of whole tables and files.")


@app.callback()
def group() -> None:
    """Predictions of whole tables and files."""


@app.command("run")
def run(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="FILE.csv, FILE.parquet, or a table: sqlite:///FILE?table=NAME&key=ID.")
    ],
    sink: Annotated[
        str,
        typer.Argument(metavar="OUT", help="The same forms; a .parquet becomes a folder of parts, a table is created."),
    ],
    model: Annotated[str, flag("NAME, NAME@ALIAS, NAME:3 or FILE.onnx.")],
    where: Annotated[str, flag("Rows to take: \"species = 'setosa' and petal_length > 1.5\".")] = "",
    cron: Annotated[str | None, flag("Run at the start and then by this schedule (UTC), until SIGTERM.")] = None,
    restart: Annotated[bool, flag("Begin anew, and delete what earlier runs wrote there.", "--restart")] = False,
    batch_rows: Annotated[
        int | None, flag("Rows in one call of the model. (default: the best number, found in the first second)")
    ] = None,
) -> None:
    """Predict every row of IN into OUT, each once. A run that was stopped or killed continues where it stopped."""
    if batch_rows is not None and batch_rows < 1:
        raise WrongUse("--batch-rows must be at least 1")
    check_model(model)

    from mlpatterns.cli.batch_running import run_once, run_scheduled

    if cron is not None:
        run_scheduled(model, source, sink, where=where, cron=cron, restart=restart, batch_rows=batch_rows)
    else:
        run_once(model, source, sink, where=where, restart=restart, batch_rows=batch_rows)
