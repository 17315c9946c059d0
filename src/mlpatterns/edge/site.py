"""Builds a static site that predicts in the browser: pages, engine, models, and a list of all files with digests."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import isqrt, prod
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.durable import write_whole
from mlpatterns.edge.engine import engine_files
from mlpatterns.edge.quantize import quantized
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.registry.files import checked_content
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, UserError, WrongUse

__all__ = ["SITE", "EdgeModel", "Site", "build_site", "read_site"]

SITE = "site.json"
PAGES = ("index.html", "style.css", "app.js", "ink.js", "models.js", "icon.svg", "app.webmanifest", "sw.js")
KEY = re.compile(r"[a-z][a-z0-9-]{0,31}")


class EdgeModel(Struct, frozen=True):
    """One model of a site.

    Attributes:
        key: names its place on the page and its file.
        title: shown on the page.
        reference: of the registered model.
        int8: whether its weights are quantized to 8 bits.
    """

    key: str
    title: str
    reference: str
    int8: bool = False

    @classmethod
    def fast(cls, reference: str) -> EdgeModel:
        """The model that answers fastest."""
        return cls("fast", "Fast: 8 bits", reference, int8=True)

    @classmethod
    def accurate(cls, reference: str) -> EdgeModel:
        """The model that is right more often."""
        return cls("accurate", "Accurate: 32 bits", reference)


class SiteModel(Struct, frozen=True):
    """What the page needs to know about a model. `shape` is the input shape of one picture, [1, …]; `input` and
    `output` are the names of the tensors."""

    key: str
    title: str
    name: str
    version: str
    int8: bool
    file: str
    input: str
    output: str
    shape: tuple[int, ...]
    labels: tuple[str, ...]


class Site(Struct, frozen=True):
    """What `site.json` holds.

    Attributes:
        version: a digest of all files.
        side: height and width, in pixels, of the pictures that the models take.
        files: the SHA-256 of each file, except `site.json` itself and the service worker, which contains the version.
    """

    version: str
    side: int
    models: tuple[SiteModel, ...]
    files: Mapping[str, str]


def build_site(models: Sequence[EdgeModel], folder: Path, settings: Settings) -> Site:
    """Builds the site in `folder` and replaces an existing site. If the build fails, the existing site is unchanged.

    Raises:
        UserError: `folder` holds something else, a model does not take square grey pictures or has no labels, or the
            engine could not be fetched.
        UnknownName, ModelFileError: a model does not exist or is damaged.
    """
    _check_folder(folder)
    if not models or len({model.key for model in models}) < len(models):
        raise UserError("a site needs at least one model, and each needs a key of its own")
    contents, described = _models(models, settings)
    sides = {isqrt(prod(model.shape)) for model in described}
    if len(sides) > 1:
        raise UserError(f"the models of a site must take pictures of one size, not of {sorted(sides)} pixels a side")
    contents |= {f"ort/{name}": path.read_bytes() for name, path in engine_files(settings.home).items()}
    pages = {name: (files("mlpatterns.edge") / "assets" / name).read_bytes() for name in PAGES}
    worker = pages.pop("sw.js")
    contents |= pages
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    version = hashlib.sha256(msgspec.json.encode((digests, described))).hexdigest()[:16]
    site = Site(version, sides.pop(), tuple(described), digests)
    kept = {"version": version, "files": ["./", SITE, *digests]}
    contents["sw.js"] = worker.replace(b'"@SITE@"', msgspec.json.encode(kept))
    contents[SITE] = msgspec.json.encode(site)
    _write(contents, folder)
    return site


def read_site(folder: Path) -> Site | None:
    """The site in `folder`, or None if there is none."""
    try:
        return msgspec.json.decode((folder / SITE).read_bytes(), type=Site)
    except (OSError, msgspec.MsgspecError):
        return None


# ---- models --------------------------------------------------------------------------------------------------------


def _models(models: Sequence[EdgeModel], settings: Settings) -> tuple[dict[str, bytes], list[SiteModel]]:
    contents, described = {}, []
    for model in models:
        if not KEY.fullmatch(model.key):
            raise UserError(f"the key {model.key!r} of a model must be small letters, digits and hyphens")
        found = locate(model.reference, settings)
        if found.metadata is None:
            raise ModelFileError(f"{model.reference} has no metadata, so its labels are unknown; register it")
        if found.weights:
            raise ModelFileError(f"{model.reference} keeps weights in other files, which a page cannot load; export it "
                                 "as one file")  # fmt: skip
        file = f"models/{model.key}.onnx"
        content = checked_content(found)
        contents[file] = quantized(found.model.name, content) if model.int8 else content
        described.append(_site_model(model, file, found.metadata))
    return contents, described


def _site_model(model: EdgeModel, file: str, metadata: ModelMetadata) -> SiteModel:
    (first, *others) = metadata.inputs
    if others or not metadata.labels or not _is_square(first):
        raise UserError(
            f"{model.reference} does not accept pictures: it must have labels and one input, of square grey pictures "
            f"as FP32 [-1, side x side], [-1, side, side] or [-1, 1, side, side]; it has {list(first.shape)}"
        )
    return SiteModel(model.key, model.title, metadata.name, metadata.version, model.int8, file, first.name,
                     metadata.primary_output, (1, *first.shape[1:]), metadata.labels)  # fmt: skip


def _is_square(spec: TensorSpec) -> bool:
    pixels, axes = prod(spec.shape[1:]), spec.shape[1:]
    if spec.datatype != "FP32" or spec.shape[:1] != (-1,) or pixels < 1 or isqrt(pixels) ** 2 != pixels:
        return False
    side = isqrt(pixels)
    return axes in ((pixels,), (side, side), (1, side, side))


# ---- files ---------------------------------------------------------------------------------------------------------


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and read_site(folder) is None)):
        raise WrongUse(
            f"{folder} holds files that are not a site of mlpatterns, so nothing was changed; name another folder"
        )


def _write(contents: Mapping[str, Any], folder: Path) -> None:
    """Writes all files to a new folder beside `folder`, then renames it, so that a site is never incomplete."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for name, content in contents.items():
            (made / name).parent.mkdir(exist_ok=True)
            write_whole(made / name, content)
        made.chmod(0o755)
        if folder.exists():
            old = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            folder.replace(old / folder.name)
            made.replace(folder)
            shutil.rmtree(old)
        else:
            made.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error
