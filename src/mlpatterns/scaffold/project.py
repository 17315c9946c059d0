"""Makes a project from a pattern and its models. The folder is created only when it is complete."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.catalog import System
from mlpatterns.launch.target import load_pattern, registered_models
from mlpatterns.models.chosen import model_options
from mlpatterns.references import FileReference, Reference, parse_reference
from mlpatterns.scaffold.containerfile import of_a_project
from mlpatterns.scaffold.facts import ServedFacts, facts_of, load_app
from mlpatterns.scaffold.models import CopiedModel, copy_model, file_name, files_of
from mlpatterns.scaffold.names import empty_folder, project_name
from mlpatterns.scaffold.render import makefile_value, render
from mlpatterns.scaffold.requirements import installed_from, requirement, version
from mlpatterns.scaffold.source import MODELS, AppSource, app_source
from mlpatterns.server.pages.openapi_rows import row_examples
from mlpatterns.settings import Settings
from mlpatterns.user_errors import NotOffered, UserError

__all__ = ["MadeProject", "check", "make_project"]

PATTERN_SIGNS = r"[\[\]*?\\]"  # characters with a meaning in a .dockerignore
LONGEST = 400  # characters of an example that a README shows
PARTS = ("answers", "simple", "sample", "plain", "rows", "labelled")  # of its tests; each tests that fact


class MadeProject(Struct, frozen=True):
    """A project that was made. A model without a sample in `facts` needs one before the project's tests can pass."""

    folder: Path
    name: str
    models: tuple[CopiedModel, ...]
    facts: tuple[ServedFacts, ...]


def check(system: System, path: Path, *, model: bool) -> None:
    """Checks whether a project can be made, before a model is trained for it.

    Args:
        model: whether the project serves another model than that of the pattern.

    Raises:
        UserError: no project can be made there, or the pattern does not accept another model.
    """
    project_name(empty_folder(path))
    if "HotSwap" in system.pieces:
        raise NotOffered(f"{system.name} follows an alias of the registry and a project has its models as files; start "
                       "from web_single, and put HotSwap(\"NAME\") where it has its model")  # fmt: skip
    if model and not system.takes_model:
        raise NotOffered(f"{system.name} takes no other model than its own; leave --model out, and put your files into "
                       f"the {MODELS} folder of the project")  # fmt: skip


def make_project(system: System, path: Path, settings: Settings) -> MadeProject:
    """Makes a project in `path`, which must be empty or not exist.

    Args:
        system: a pattern that has an app; the registered models that it serves must exist.
        settings: if the pattern accepts another model, `model` of the settings replaces that of the pattern, with the
            options for it.

    Raises:
        UserError: the project cannot be made. Then nothing has been written.
    """
    target = empty_folder(path)
    name = project_name(target)
    pattern = _pattern(system)
    chosen = parse_reference(settings.model) if settings.model and system.takes_model else None
    with _staged(target) as folder:
        models = _copy_models(system, chosen, folder / MODELS, settings)
        _require_one_input(system, models)
        source = app_source(pattern, f"{system.header.need}: `mlpatterns run app.py` serves it.",
                            chosen=file_name(chosen) if chosen else None)  # fmt: skip
        (folder / "app.py").write_text(source.text, encoding="utf-8")
        facts = asyncio.run(facts_of(load_app(folder / "app.py")))
        values = _values(name, system, source, models, facts)
        render(folder, {**values, "image_files": _image_files(folder, models)}, ["base", *_parts(facts)])
        (folder / "Dockerfile").write_text(of_a_project(), encoding="utf-8")
    return MadeProject(target, name, tuple(models), tuple(facts))


def _pattern(system: System) -> str:
    assert system.path is not None
    return system.path.read_text(encoding="utf-8")


def _copy_models(system: System, chosen: Reference | None, folder: Path, settings: Settings) -> list[CopiedModel]:
    folder.mkdir()
    references: list[Reference] = list(dict.fromkeys(registered_models(load_pattern(system))))
    if isinstance(chosen, FileReference):
        references.append(chosen)
    options = model_options(settings)
    own = chosen or (references[0] if len(references) == 1 else None)  # the options describe this model
    return [copy_model(each, folder, settings, options if each == own else {}) for each in references]


def _require_one_input(system: System, models: Sequence[CopiedModel]) -> None:
    several = [model.name for model in models if len(model.metadata.inputs) > 1]
    if several and "BatchJob" in system.pieces:
        raise NotOffered(f"{system.name} makes a table of rows of one input, and {several[0]} takes several; start "
                         "from web_single, and predict a table of yours with `mlpatterns batch run`")  # fmt: skip


def _parts(facts: Sequence[ServedFacts]) -> list[str]:
    """The parts of the tests whose facts hold for every model."""
    return [part for part in PARTS if all(getattr(fact, part) for fact in facts)]


# ---- all or nothing ------------------------------------------------------------------------------------------------


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target`. It is renamed to `target` if the body succeeds, and removed otherwise."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            folder = Path(beside) / target.name
            folder.mkdir()
            yield folder
            shutil.rmtree(folder / "__pycache__", ignore_errors=True)
            _settle(folder, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}; name a folder elsewhere") from error


def _settle(folder: Path, target: Path) -> None:
    empty_folder(target)  # checked again, because somebody may have written to it in the meantime
    if target.exists():  # it is not replaced, because it may be the working directory of a shell
        for entry in list(folder.iterdir()):
            entry.rename(target / entry.name)
    else:
        folder.rename(target)


# ---- values for the templates --------------------------------------------------------------------------------


def _values(
    name: str, system: System, source: AppSource, models: Sequence[CopiedModel], facts: Sequence[ServedFacts]
) -> dict[str, str]:
    return {
        "project": name,
        "pattern": system.name,
        "need": system.header.need,
        "diagram": system.header.diagram,
        "models": "\n".join(f"| `{model.name}` | {model.origin} | `{model.sha256}` |" for model in models),
        "served": facts[0].name,
        "names": ", ".join(f'"{fact.name}"' for fact in facts) + ",",
        "ask": _question(facts[0], several=len(facts) > 1),
        "requirement": requirement(source.modules),
        "source": makefile_value(installed_from()),
        "version": version(),
    }


def _image_files(folder: Path, models: Sequence[CopiedModel]) -> str:
    """The lines of .dockerignore for the files of the models. Special characters become ``?``, which matches any."""
    files = [file for model in models for file in files_of(folder / MODELS / f"{model.name}.onnx")]
    return "\n".join(f"!{MODELS}/{re.sub(PATTERN_SIGNS, '?', file)}" for file in files)


def _question(fact: ServedFacts, *, several: bool) -> str:
    """A command that sends the served model its sample, or requests its metadata if the sample is too long."""
    server = "http://127.0.0.1:8000"
    sendable = fact.simple or len(fact.metadata.inputs) != 1
    examples = list(row_examples(fact.metadata).values()) if sendable else []
    body = shlex.quote(msgspec.json.encode(examples[0]).decode()) if examples else ""
    if not body or len(body) > LONGEST:
        return f"curl -s {server}/v2/models/{fact.name}"
    return f".venv/bin/mlpatterns predict {server}{f'/models/{fact.name}' if several else ''} {body}"
