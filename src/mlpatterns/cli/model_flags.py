"""The flags that describe a model, which all commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from mlpatterns.cli.flags import flag
from mlpatterns.launch.export_lines import export_lines
from mlpatterns.user_errors import SettingsError, WrongUse

__all__ = ["Arena", "Columns", "CustomOps", "ExtraColumns", "Labels", "Missing", "Provider", "SampleFile", "Session",
           "Threshold", "check_model", "from_anywhere", "refuse_for_app", "require_model"]  # fmt: skip

PANEL = "What is served"

Labels = Annotated[
    str | None,
    flag('Class names of the model: a,b,c or a file: one per line, a JSON list or {"0": "a", …}.', panel=PANEL,
         metavar="FILE|a,b,c"),
]  # fmt: skip
Columns = Annotated[
    str | None,
    flag("Column names of the model: a,b,c or a file: one per line, the first line of a CSV, or a JSON list.",
         panel=PANEL, metavar="FILE|a,b,c"),
]  # fmt: skip
Missing = Annotated[
    str | None,
    flag("Columns or inputs that accept null as a missing value; all: every float column and input.", panel=PANEL,
         metavar="COLUMN,…|all"),
]  # fmt: skip
Threshold = Annotated[
    float | None,
    flag("For a model with one score and two labels: a score above it means the second label.", panel=PANEL),
]
SampleFile = Annotated[
    Path | None,
    flag("Rows that the model can predict. The first is the model's sample; it also sets the size of free axes.",
         panel=PANEL, metavar="FILE.csv|.npz"),
]  # fmt: skip
ExtraColumns = Annotated[
    str | None,
    flag("What to do with columns that the model does not have: refuse or ignore. (default: refuse)", panel=PANEL),
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
    flag("Libraries of custom operators that the model needs.", panel=PANEL, metavar="FILE.so,…"),
]
Arena = Annotated[
    str | None,
    flag("Memory that ONNX Runtime allocates for a run: keep it for the next run, or off: free it. (default: keep)",
         panel=PANEL),
]  # fmt: skip


def check_model(model: str | None) -> None:
    """Checks that `model` does not name a file of another kind. A registered model with such a name is NAME@champion.

    Raises:
        WrongUse: `model` names such a file; the text has the lines that export the file as ONNX, if there are any.
    """
    if model and (lines := export_lines(model)):
        raise WrongUse(lines)
    if model and model.endswith(".py"):
        raise WrongUse(f"{model} is a Python file and no model; `mlpatterns run {model}` serves what it composes")


def from_anywhere(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with absolute paths of their files, because the app may run in another folder. An empty one counts as
    not given.

    Raises:
        WrongUse: as `check_model`.
    """
    check_model(flags.get("model"))
    found = dict(flags)
    for name in ("labels", "columns", "sample"):
        value = found.get(name)
        if value in ("", Path()):  # a flag of type Path turns empty text into the current folder
            found[name] = None
        elif value is not None and Path(value).exists():  # other text is a list of names, or a wrong path
            found[name] = str(Path(value).absolute())
    return found


def require_model(flags: Mapping[str, Any], model: str | None) -> None:
    """Checks that flags that describe a model come with a model.

    Raises:
        SettingsError: there are such flags, but no model.
    """
    said = _given_flags(flags)
    if said and not model:
        raise SettingsError(f"{said[0]} describes a model of yours; give --model too")


def refuse_for_app(target: str, flags: Mapping[str, Any]) -> None:
    """Checks that no flag describes the models of an app, because the app's own code describes them.

    Raises:
        SettingsError: there is such a flag.
    """
    said = _given_flags(flags)
    if said:
        raise SettingsError(f"{target} describes its models itself: write {said[0]} into it, "
                            "as an argument of OnnxModel")  # fmt: skip


def _given_flags(flags: Mapping[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None]
