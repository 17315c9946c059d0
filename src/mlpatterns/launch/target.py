"""Loads a target as an app. A target is the name of a pattern or of a registered model, `FILE.py[:attribute]`, or one
or several `FILE.onnx`."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mlpatterns.base import reference_of
from mlpatterns.catalog import System
from mlpatterns.launch.export_lines import export_lines
from mlpatterns.launch.resolve import refuse_folder, resolve_name
from mlpatterns.models.chosen import MODEL_OPTIONS, model_options
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.predictor import Predictor
from mlpatterns.references import (
    DEFAULT_ALIAS,
    FileReference,
    Reference,
    RegisteredReference,
    is_file,
    name_of,
    parse_reference,
)
from mlpatterns.registry.files import metadata_path
from mlpatterns.runtime import leaves_first, roots_of
from mlpatterns.server.app import App, serve
from mlpatterns.server.servable import PlainApp, is_asgi
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import NotOffered, SettingsError, UserError, WrongUse

__all__ = ["SEVERAL", "app_of", "load_pattern", "load_target", "registered_models", "source_of"]

SEVERAL = "\n"  # separates the files in one target
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<attribute>[A-Za-z_]\w*))?")


def load_target(target: str) -> App | PlainApp:
    """The app of `target`; several files are separated by line ends.

    Raises:
        UnknownName, NotOffered, RegistryDown: as in `resolve_name`.
        SettingsError: a model is set for a target that has its own models.
        WrongUse: the file does not exist, is of another kind, or defines no app.
        UserError: the file hides another module, or failed to load; in the latter case its traceback is printed first.
    """
    match = _FILE.fullmatch(target)
    if match:
        return _from_module(_import_file(Path(match["path"])), match["path"], match["attribute"])
    targets = target.split(SEVERAL)
    if all(map(is_file, targets)):
        return _of_models([parse_reference(each) for each in targets])
    if len(targets) > 1:
        raise WrongUse("several targets must all be .onnx files; to serve other models together, return them from one "
                       "build() of a Python file")  # fmt: skip
    if lines := export_lines(target):
        raise WrongUse(lines)
    if "/" in target:
        refuse_folder(target)
    if "/" in target or (Path(target).suffix and Path(target).is_file()):
        raise WrongUse(f"{target} is neither a .py nor an .onnx file")
    system = resolve_name(target)
    if isinstance(system, RegisteredReference):
        return _of_models([system])
    if not system.takes_model:
        _refuse_choice(system)
    return app_of(system)


def source_of(target: str) -> str:
    """The target as the path of its file, for a FileWatcher; a registered model stays as it is."""
    if _FILE.fullmatch(target) or is_file(target.split(SEVERAL)[0]):
        return target
    system = resolve_name(target)
    return target if isinstance(system, RegisteredReference) else str(system.path)


def load_pattern(system: System) -> App:
    """The app of a pattern that serves predictions.

    Raises:
        NotOffered: it does not serve predictions.
    """
    app = app_of(system)
    if isinstance(app, App):
        return app
    raise NotOffered(f"{system.name} serves no predictions; start it with `mlpatterns run {system.name}`")


def app_of(system: System) -> App | PlainApp:
    """The app of a pattern that has one, whether it serves predictions or something else."""
    app = import_module(system.module).app
    if not isinstance(app, App):
        return PlainApp(app)
    app.system = system.name
    return app


def registered_models(app: App | PlainApp) -> Iterator[RegisteredReference]:
    """The registered models that an app serves; for an app of another framework, those in its `references`."""
    if not isinstance(app, App):
        for text in getattr(app.asgi, "references", ()):
            said = parse_reference(text)
            if isinstance(said, RegisteredReference):
                yield said
        return
    for predictor in leaves_first(*roots_of(app.build())):
        reference = reference_of(predictor)
        if isinstance(reference, RegisteredReference):
            yield reference


def _refuse_choice(system: System) -> None:
    settings = load_settings().settings
    for name in ("model", *MODEL_OPTIONS):
        if getattr(settings, name) not in (None, ()):
            raise SettingsError(
                f"{system.name} has its own models and accepts no --{name}: remove it, or make "
                f"a copy that you can change with `mlpatterns new DIR --pattern {system.name}`"
            )


def _of_models(references: Sequence[Reference]) -> App:
    """The app of one model, or of several files that are each served under their own name."""
    settings = load_settings().settings
    if settings.model:
        raise SettingsError(f"--model and {_said(references[0])} name two models; remove one of them")
    if len(references) > 1:
        _check_several([each.path for each in references if isinstance(each, FileReference)])
    options = model_options(settings)

    def model(reference: Reference) -> Predictor:
        made = OnnxModel(reference, **options)
        return Batcher(made, max_batch_size=settings.max_batch_size) if settings.batching else made

    if len(references) == 1:
        return serve(lambda: model(references[0]))
    return serve(lambda: {each.name: each for each in map(model, references)})


def _said(reference: Reference) -> str:
    """The reference as a user writes it."""
    if isinstance(reference, FileReference):
        return str(reference.path)
    return reference.name if (reference.version, reference.alias) == (None, DEFAULT_ALIAS) else str(reference)


def _check_several(paths: Sequence[Path]) -> None:
    by_name: dict[str, Path] = {}
    for path in paths:
        if (other := by_name.setdefault(name_of(path), path)) is not path:
            raise WrongUse(f"{other} and {path} would both be served as {name_of(path)}; rename one of them")
    settings = load_settings().settings
    for name in MODEL_OPTIONS:
        if getattr(settings, name) not in (None, ()):
            beside = metadata_path(paths[0]).name
            raise SettingsError(f"--{name} describes one model, but there are {len(paths)}; write it into the {beside} "
                                "beside each file, or serve each file alone")  # fmt: skip


def _import_file(path: Path) -> ModuleType:
    """Imports a user's file as the module of its name, so that child processes can import what it defines."""
    if not path.is_file():
        raise WrongUse(f"there is no file {path}")
    name = path.stem
    known = getattr(sys.modules.get(name), "__file__", None)
    if name in sys.stdlib_module_names or (known and Path(known).resolve() != path.resolve()):
        raise UserError(f"{path} has the name of another module, {name!r}, which it would hide; rename it")
    spec = spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        _print_own_traceback(error, path.resolve())
        raise UserError(f"{path} failed to load; the traceback above shows why") from error
    return module


def _print_own_traceback(error: Exception, path: Path) -> None:
    """Prints the traceback from the first frame in the user's file; the frames before it belong to this library."""
    frames = error.__traceback__
    while frames is not None and Path(frames.tb_frame.f_code.co_filename) != path:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


def _from_module(module: ModuleType, file: str, attribute: str | None) -> App | PlainApp:
    names = (attribute,) if attribute else ("app", "build")
    found: Any = next((getattr(module, name) for name in names if hasattr(module, name)), None)
    if isinstance(found, App):
        return found
    if isinstance(found, list | Mapping) or (hasattr(found, "predict") and not isinstance(found, type)):
        return serve(lambda: found)
    if is_asgi(found):
        return PlainApp(found)
    if callable(found):
        return serve(found)
    if found is None:
        raise WrongUse(f"{file} has no {' and no '.join(names)}; write app = serve(build), or name what to serve: "
                        f"{file}:NAME")  # fmt: skip
    raise UserError(
        f"{file}:{attribute or names[0]} is not an app; make it the result of serve(build), a build "
        "function or an ASGI app"
    )
