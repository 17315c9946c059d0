"""The flags that say what a model is: the same in every command that takes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from mlpatterns.cli.flags import flag
from mlpatterns.user_errors import SettingsError

__all__ = ["Arena", "Columns", "CustomOps", "ExtraColumns", "Labels", "Missing", "Provider", "SampleFile", "Session",
           "Threshold", "from_anywhere", "refuse_for_app", "require_model"]  # fmt: skip

PANEL = "What is served"

Labels = Annotated[
    str | None,
    flag('Its class names: a,b,c or a file with one a line, a JSON list or {"0": "a", …}.', panel=PANEL,
         metavar="FILE|a,b,c"),
]  # fmt: skip
Columns = Annotated[
    str | None,
    flag("The names of its columns: a,b,c or a file with one a line, the first line of a CSV, or a JSON list.",
         panel=PANEL, metavar="FILE|a,b,c"),
]  # fmt: skip
Missing = Annotated[
    str | None,
    flag("Columns or inputs in which null is accepted, as a missing value; all: every one of floats.", panel=PANEL,
         metavar="COLUMN,…|all"),
]  # fmt: skip
Threshold = Annotated[
    float | None,
    flag("Where one score has two labels: above it, it is the second.", panel=PANEL),
]
SampleFile = Annotated[
    Path | None,
    flag("Rows that it can predict: the first is shown, tried at the start, and says how large free axes are.",
         panel=PANEL, metavar="FILE.csv|.npz"),
]  # fmt: skip
ExtraColumns = Annotated[
    str | None,
    flag("Columns that the model has not: refuse or ignore. (default: refuse)", panel=PANEL),
]
Provider = Annotated[
    str | None,
    flag("Execution providers of ONNX Runtime, best first. (default: cpu)", panel=PANEL, metavar="cuda,cpu"),
]
Session = Annotated[
    str | None,
    flag("Options of ONNX Runtime's session.", panel=PANEL, metavar="KEY=VALUE,…"),
]
CustomOps = Annotated[
    str | None,
    flag("Libraries of operators that it needs.", panel=PANEL, metavar="FILE.so,…"),
]
Arena = Annotated[
    str | None,
    flag("The memory of ONNX Runtime's runs: keep it for the next run, or off: give it back. (default: keep)",
         panel=PANEL),
]  # fmt: skip


def from_anywhere(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The same flags, their files by whole paths: an app may read them in another folder."""
    found = dict(flags)
    for name in ("labels", "columns", "sample"):
        value = found.get(name)
        if value is not None and Path(value).exists():  # what is no file is names, or is told as it was written
            found[name] = str(Path(value).absolute())
    return found


def require_model(flags: Mapping[str, Any], model: str | None) -> None:
    """That what is said has a model which it is said of.

    Raises:
        SettingsError: there is none.
    """
    said = _said(flags)
    if said and not model:
        raise SettingsError(f"{said[0]} is for a model of yours; give --model too")


def refuse_for_app(target: str, flags: Mapping[str, Any]) -> None:
    """That nothing is said of the models of an app, which says that itself.

    Raises:
        SettingsError: something is.
    """
    said = _said(flags)
    if said:
        raise SettingsError(f"{target} says itself what its models are: write {said[0]} into it, "
                            "as an argument of OnnxModel")  # fmt: skip


def _said(flags: Mapping[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None]
