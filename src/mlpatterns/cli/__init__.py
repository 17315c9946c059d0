"""The command line: one module for each command. An error that the user can correct is one sentence on standard error.

Exit codes: 0 success; 1 the command failed, or a claim of a demo does not hold; 2 the command line or a setting is
wrong, or names something that does not exist; 130 Ctrl-C; 141 the reader of standard output has closed it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mlpatterns.cli import (
    batch,
    demo,
    drift,
    edge,
    experiment,
    fetch,
    find,
    image,
    listing,
    load,
    log,
    new,
    predict,
    registry,
    run,
    settings,
    show,
    swap,
    train,
    up,
    work,
)
from mlpatterns.cli.interrupt import lasting_interrupts
from mlpatterns.cli.output import escape_unprintable
from mlpatterns.launch.signals import release_hangup
from mlpatterns.user_errors import UnknownName, UserError, WrongUse

__all__ = ["app", "main"]

FAILED, WRONG_USE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException, which typer does not export

app = typer.Typer(
    name="mlpatterns",
    no_args_is_help=True,
    add_completion=False,  # installing completion would write outside of MLPATTERNS_HOME
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda word: word.replace("_", "-"),  # the book writes --test_size
    },
)


def _version(asked: bool) -> None:
    if asked:
        from mlpatterns import __version__

        print(f"mlpatterns {__version__}")
        raise typer.Exit


@app.callback(epilog="The commands keep their data under MLPATTERNS_HOME. More: `mlpatterns COMMAND --help`.")
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="The folder for models and all other data.", show_default=".mlpatterns")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Production machine-learning systems made of one set of small pieces."""
    if home is not None:
        os.environ["MLPATTERNS_HOME"] = str(home)
    if context.invoked_subcommand != "run":
        release_hangup()


app.command("list", short_help="List all systems: name, group, need.")(listing.command)
app.command("find", short_help="Find the systems that match a need.")(find.command)
app.command("show", short_help="Show one system: need, diagram, when, commands.")(show.command)
app.command("train", short_help="Train a model and register it.")(train.command)
app.command("run", short_help="Serve a pattern, a Python file or an ONNX file.")(run.command)
app.command("work", short_help="Run a system's background programs, without serving predictions.")(work.command)
app.command("demo", short_help="Run a system and check its claims.")(demo.command)
app.command("up", short_help="Serve every system on one port, with an index page.")(up.command)
app.command("new", short_help="Make a project of your own from a pattern.")(new.command)
app.command("experiment", short_help="Compare the arms of an experiment, from a table of outcomes.")(experiment.command)
app.command("drift", short_help="Check whether a table's rows have drifted from another's.")(drift.command)
app.command(
    "predict",
    short_help="Send data to a server and print its prediction.",
    context_settings={"ignore_unknown_options": True},
)(predict.command)
app.command("log", short_help="Show the requests and answers in a system's log.")(log.command)
app.command("fetch", short_help="Copy a model to a server's folder, and verify it.")(fetch.command)
app.command("load", short_help="Load-test a server, or find the highest rate it sustains.")(load.command)
app.command("swap", short_help="Show or change the version that a server serves.")(swap.command)
app.add_typer(batch.app, name="batch", short_help="Predict every row of a table or file.")
app.add_typer(registry.app, name="registry", short_help="Manage models, versions and aliases in the registry.")
app.add_typer(image.app, name="image", short_help="Build an image with server, system and model.")
app.add_typer(edge.app, name="edge", short_help="Build or serve a site that predicts in the browser.")
app.command("settings", short_help="Show every setting, its value and its source.")(settings.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    escape_unprintable()
    try:
        with lasting_interrupts():
            code = app(args=arguments, prog_name="mlpatterns", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _end_quietly()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return _end_quietly()
        raise
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except UserError as error:
        return _print_error(str(error), WRONG_USE if _wrong_use(error) else FAILED)
    except CLICK_ERROR as error:
        return _print_usage_error(error)
    return code if isinstance(code, int) else 0


def _wrong_use(error: UserError) -> bool:
    """Whether the command line is wrong. With an unknown model it is not, because `train` may create that model."""
    if isinstance(error, UnknownName):
        return error.kind != "model"
    return isinstance(error, WrongUse)


def _print_usage_error(error: Any) -> int:
    """Prints the fault in the command line, and the command that shows the help."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "mlpatterns"
    text = error.format_message()
    if not text or text.startswith("Usage:"):  # no command was given: show the help instead
        print(text, file=sys.stderr)
        return WRONG_USE
    text = text.rstrip(".")
    return _print_error(f"{text[:1].lower()}{text[1:]}; see `{command} --help`", WRONG_USE)


def _print_error(sentence: str, code: int) -> int:
    print(f"mlpatterns: {sentence}", file=sys.stderr)
    return code


def _end_quietly() -> int:
    """Redirects the closed standard output to /dev/null, so that the interpreter's last flush prints no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
