"""The build context of an image: a folder with all files of the image, and a Dockerfile that copies them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from mlpatterns.catalog import require
from mlpatterns.references import FileReference, parse_reference
from mlpatterns.registry.files import digest, unregistered_files
from mlpatterns.release.app_files import copy_app
from mlpatterns.release.requirements import requirements_of
from mlpatterns.release.served_models import ServedModel, served_models
from mlpatterns.release.stamps import epoch, stamp
from mlpatterns.release.unserved import remove_unserved
from mlpatterns.release.wheelhouse import gather
from mlpatterns.scaffold.containerfile import DEFAULT_BASE, of_wheels
from mlpatterns.scaffold.models import copy_model
from mlpatterns.scaffold.names import empty_folder
from mlpatterns.scaffold.project import make_project
from mlpatterns.scaffold.source import MODELS, with_files
from mlpatterns.settings import Settings, load_settings
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["APP", "OWN", "ImageContext", "PackedModel", "image_context"]

APP = "app"  # the folder of a context that becomes /app
OCI, OWN = "org.opencontainers.image", "io.github.mlpatterns"  # the prefixes of the keys of labels
KEPT = "wheels"  # the folder of the home in which wheels are cached
FILE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py")
BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,254}")


class PackedModel(Struct, frozen=True):
    """A model in an image: its served name, its version, and the SHA-256 of its ONNX file and weights, in hex."""

    name: str
    version: str
    sha256: str


class ImageContext(Struct, frozen=True):
    """A build context, for any engine that builds Dockerfiles.

    Attributes:
        folder: its path; the folder ``app`` in it becomes ``/app`` in the image.
        name: the default name of the image.
        base: the base image.
        file: the name of the served file in ``app``.
        models: the models in the image.
        requirements: the name and version of each package that is installed.
        labels: the labels of the image.
    """

    folder: Path
    name: str
    base: str
    file: str
    models: tuple[PackedModel, ...]
    requirements: tuple[str, ...]
    labels: dict[str, str]

    def contents(self) -> set[tuple[str, str, float, int]]:
        """The name, SHA-256, time and permissions of each file. They determine the layers of the image."""
        files = [(path, path.stat()) for path in self.folder.rglob("*") if path.is_file()]
        return {
            (path.relative_to(self.folder).as_posix(), digest(path), stat.st_mtime, stat.st_mode)
            for path, stat in files
        }


def image_context(
    target: str | Path, folder: Path, *, base: str | None = None, name: str | None = None
) -> ImageContext:
    """Makes the build context of an image in `folder`, which must be empty or not exist.

    The same target, models and environment give the same bytes, times and permissions.

    Args:
        target: the name of a pattern, or a Python file, whose folder goes into the image too.
        base: the base image; by default that of the running Python version.
        name: the name of the image; by default that of the pattern, or of the file's folder.
        folder: the folder for the context.

    Raises:
        UserError: something is missing or invalid. Then `folder` does not exist.
    """
    base = base or DEFAULT_BASE
    if not BASE.fullmatch(base):
        raise WrongUse(f"{base!r} is not an image name; write one like {DEFAULT_BASE}")
    settings = load_settings().settings
    goal = empty_folder(folder)
    with tempfile.TemporaryDirectory(prefix="mlpatterns-image-") as made, _whole(goal):
        file, description = _app(str(target), Path(made), settings)
        called = name or (file.resolve().parent.name if str(target).endswith(".py") else str(target))
        models = _put(file, goal / APP, settings)
        house = gather(requirements_of(file), goal / "wheels", settings.home / KEPT)
        (goal / "requirements.txt").write_text(house.requirements, encoding="utf-8")
        said = _labels(called, base, models, description)
        text = of_wheels(house.pip, epoch(), base=base, file=file.name, labels=said)
        (goal / "Dockerfile").write_text(text, encoding="utf-8")
        stamp(goal)
    return ImageContext(goal, called, base, file.name, tuple(models), house.pinned, dict(said))


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Makes the folder, and removes it if the body fails."""
    try:
        folder.mkdir(exist_ok=True)
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
        raise


def _app(target: str, made: Path, settings: Settings) -> tuple[Path, str]:
    """The file to serve, and its description: the user's own file, or the app of a project made from a pattern."""
    if target.endswith(".py"):
        file = Path(target)
        if not file.is_file():
            raise WrongUse(f"there is no file {file}")
        if not FILE.fullmatch(file.name):
            raise WrongUse(f"{file.name} cannot be imported by its name; rename it")
        return file, ""
    require(target, "app")
    system = require(target, "build")
    make_project(system, made / "project", settings)
    return made / "project" / "app.py", system.header.need


# ---- the app and its models ------------------------------------------------------------------------------------------


def _put(file: Path, app: Path, settings: Settings) -> list[PackedModel]:
    """Copies the app, and replaces each registered model that it names by a file."""
    registered = [leaf for leaf in served_models(file) if not leaf.reference.startswith("file:")]
    copy_app(file.parent, app, home=settings.home)
    served = app / file.name
    shutil.copyfile(file, served)  # even if the .dockerignore of its folder excludes it
    if registered:
        (app / MODELS).mkdir(exist_ok=True)
        for reference in dict.fromkeys(leaf.reference for leaf in registered):
            copy_model(parse_reference(reference), app / MODELS, settings)
        served.write_text(with_files(file.read_text(encoding="utf-8")), encoding="utf-8")
        left = [leaf.reference for leaf in served_models(served) if not leaf.reference.startswith("file:")]
        if left:
            raise UserError(f"{file.name} names {', '.join(left)} in a way that cannot be replaced by a file; write "
                            f"OnnxModel(\"NAME:VERSION\") into {file.name} itself")  # fmt: skip
    models = [(leaf.name, _model_file(leaf, app)) for leaf in served_models(served)]
    remove_unserved(app, [path for _, path in models])
    packed = [(name, unregistered_files(path)) for name, path in models]
    return [PackedModel(name, files.version, files.sha256) for name, files in packed]


def _model_file(leaf: ServedModel, app: Path) -> Path:
    reference = parse_reference(leaf.reference)
    assert isinstance(reference, FileReference)
    path = (app / reference.path).resolve()
    if not path.is_relative_to(app.resolve()):
        raise UserError(f"the model {reference.path} lies outside of the app's folder, which is what goes into the "
                        "image; put it there, and name it by Path(__file__)")  # fmt: skip
    return path


# ---- labels: the keys of the OCI image specification, and the version and digest of each model -----------------------
# https://github.com/opencontainers/image-spec/blob/main/annotations.md


def _labels(name: str, base: str, models: Sequence[PackedModel], description: str = "") -> Mapping[str, str]:
    """The labels of an image. If it has exactly one model, its version is that of the model."""
    found = {
        f"{OCI}.title": name,
        f"{OCI}.base.name": base,
        f"{OWN}.version": version("mlpatterns"),
        f"{OWN}.models": " ".join(f"{model.name}:{model.version}" for model in models),
    }
    if description:
        found[f"{OCI}.description"] = description
    if len(models) == 1:
        found[f"{OCI}.version"] = models[0].version
    for model in models:
        found[f"{OWN}.model.{model.name}.version"] = model.version
        found[f"{OWN}.model.{model.name}.sha256"] = model.sha256
    return found
