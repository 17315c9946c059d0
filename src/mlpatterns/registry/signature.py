"""The signature of a version (the inputs, outputs and labels on which clients rely), and how two signatures differ."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from mlpatterns.errors import NotFound, PredictionError, TooLarge, Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.registry.files import MANIFEST, METADATA, Manifest
from mlpatterns.registry.urls import MANIFEST_BYTES, relative_url
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore, is_key
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import ArtifactsDown, ModelFileError

__all__ = ["Signature", "difference", "signature_of"]


class Signature(Struct, frozen=True):
    """The part of a ModelMetadata that clients rely on."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    labels: tuple[str, ...] = ()


def difference(before: Signature | ModelMetadata, after: Signature | ModelMetadata) -> str:
    """How `after` breaks clients of `before`, such as ``its inputs: 'x' is FP32 [-1, 10], and was FP32 [-1, 30]``.

    Empty if the two do not differ.
    """
    return (
        _tensors("inputs", before.inputs, after.inputs)
        or _tensors("outputs", before.outputs, after.outputs)
        or _labels(before.labels, after.labels)
        or _primary(before.primary_output, after.primary_output)
    )


def signature_of(root: str, answer: VersionFiles, *, what: str) -> Signature:
    """The signature of a version. Only its manifest and metadata are read, not the model itself.

    Args:
        root: the root URL of all artifacts.
        what: the name of the version in error texts.

    Raises:
        ModelFileError: a file is missing or damaged.
        ArtifactsDown: the store does not answer.
    """
    inner = relative_url(root, answer.folder)
    if inner is None or not is_key(inner):
        raise ModelFileError(f"{what} is registered outside the artifacts of this home")
    store = open_objects(root)
    try:
        manifest = msgspec.json.decode(
            _read(store, f"{inner}/{MANIFEST}", MANIFEST_BYTES, answer.manifest_sha256), type=Manifest
        )
        entry = manifest.files[METADATA]
        return msgspec.json.decode(_read(store, f"{inner}/{METADATA}", entry.bytes, entry.sha256), type=Signature)
    except Unavailable as error:
        raise ArtifactsDown(f"the signature of {what} cannot be read: {error}") from error
    except (msgspec.MsgspecError, KeyError, ValueError, PredictionError) as error:
        raise ModelFileError(f"the signature of {what} is unknown: {_why(error)}") from error


def _read(store: ObjectStore, key: str, most: int, sha256: str) -> bytes:
    content = store.read(key, most)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"its {key.rpartition('/')[2]} does not match its SHA-256")
    return content


def _why(error: Exception) -> str:
    if isinstance(error, NotFound):
        return "its files are not below the setting `artifacts` of this machine"
    if isinstance(error, TooLarge):
        return "a file does not match its SHA-256"
    if isinstance(error, KeyError):
        return f"it has no {METADATA}"
    return str(error) if type(error) is ValueError else f"its {METADATA} does not describe a model"


# ---- differences ---------------------------------------------------------------------------------------------------


def _tensors(what: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec]) -> str:
    if tuple(before) == tuple(after):
        return ""
    old, new = {spec.name: spec for spec in before}, {spec.name: spec for spec in after}
    if old.keys() != new.keys():
        return f"its {what} are {', '.join(map(_shown, after))}, and were {', '.join(map(_shown, before))}"
    changed = next((name for name in old if old[name] != new[name]), None)
    if changed is None:
        return f"its {what} come in the order {', '.join(new)}, and came in {', '.join(old)}"
    return f"its {what}: {changed!r} {_change(old[changed], new[changed])}"


def _shown(spec: TensorSpec) -> str:
    return f"{spec.name!r} ({_form(spec)})"


def _form(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"


def _change(old: TensorSpec, new: TensorSpec) -> str:
    if _form(old) != _form(new):
        return f"is {_form(new)}, and was {_form(old)}"
    if old.fields != new.fields:
        return f"has other columns: {_names(old.fields, new.fields)}"
    if old.missing != new.missing:
        return "accepts missing values, and did not" if new.missing else "no longer accepts missing values"
    return f"holds a {new.content}, and held a {old.content}"


def _labels(old: Sequence[str], new: Sequence[str]) -> str:
    return "" if tuple(old) == tuple(new) else f"its labels differ: {_names(old, new)}"


def _primary(old: str, new: str) -> str:
    return "" if old == new else f"its primary output is {new!r}, and was {old!r}"


SHOWN = 10  # the most names of a list that a sentence contains; for the rest it gives their number


def _names(old: Sequence[str], new: Sequence[str]) -> str:
    """How two lists differ. If they have the same length, only the first name that differs."""
    if len(old) == len(new):
        place = next(place for place, (was, now) in enumerate(zip(old, new, strict=True)) if was != now)
        return f"number {place} is {new[place]!r}, and was {old[place]!r}"
    return f"{_listed(new)}, and were {_listed(old)}"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{rest}"
