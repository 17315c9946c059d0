"""A version of an MLflow registry becomes one of ours: its ONNX flavor, with what its run was given and measured."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import UserError, WrongUse
from mlpatterns.metadata import ModelMetadata
from mlpatterns.model_db.importing import NOTHING, ImportedVersion, loaded_file, register_file
from mlpatterns.model_db.mlflow_files import MlflowFiles
from mlpatterns.model_db.mlflow_server import environment, opened, told, why
from mlpatterns.model_db.register import tagged_version
from mlpatterns.redaction import redact
from mlpatterns.references import check_name
from mlpatterns.settings import Settings

__all__ = ["TAG", "Imported", "import_mlflow", "is_mlflow"]

TAG = "mlflow"  # the key of the tag that says which version it was there
FORM = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]{0,8}))")
REFUSED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # how a server says that there is no such thing


class Imported(Struct, frozen=True):
    """The version that it is here; `champion` says that this alias names it. `new` has what became of it, unless it was
    here before."""

    name: str
    version: int
    champion: bool
    new: ImportedVersion | None = None


class _Found(Struct, frozen=True):
    """A version there. `address` is that of its page."""

    name: str
    number: int
    root: str
    source: str
    run_id: str | None
    address: str
    parameters: dict[str, str]
    metrics: dict[str, float]


def is_mlflow(text: str) -> bool:
    """Whether a model is named as MLflow names one."""
    return text.startswith("models:")


def import_mlflow(
    uri: str,
    server: str | None,
    name: str | None = None,
    *,
    settings: Settings,
    project: str = "mlpatterns",
    options: Mapping[str, Any] = NOTHING,
    promote: bool = False,
    force: bool = False,
    again: bool = False,
) -> Imported:
    """Registers ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER`` as the next version of `name`. What was imported
    before is not registered once more, unless `again`.

    Args:
        server: the URI of the MLflow server.
        name: by default the name it has there.
        options, promote, force: as those of `import_file`.

    Raises:
        UserError: no such version, the server does not answer, or the version has no ONNX model.
        MissingExtra: without mlflow-skinny.
    """
    asked = FORM.fullmatch(uri)
    if asked is None:
        raise WrongUse(f"{uri!r} is no model of an MLflow registry; write models:/NAME@ALIAS or models:/NAME/NUMBER")
    if server is None:
        raise WrongUse(f"{uri} is in an MLflow registry; say which with --mlflow URI or MLFLOW_TRACKING_URI")
    if name is None and not _fits(asked["name"]):
        raise WrongUse(f"{asked['name']!r} is no name for a model here; give one with --name")
    model = name or asked["name"]
    check_name(model)
    with environment(), tempfile.TemporaryDirectory(prefix="mlpatterns-") as folder:
        found = _find(opened(server, "importing from MLflow"), server, uri, asked)
        before = None if again else tagged_version(model, TAG, found.address, url=settings.registry_url)
        if before is not None:
            return Imported(model, *before)
        files = MlflowFiles(server, found.root, Path(folder))
        path = files.whole()
        loaded = loaded_file(path, options, settings)
        loaded = replace(loaded, metadata=_named(loaded.metadata, files.model.columns))
        details: dict[str, Any] = {
            "project": project,
            "parameters": {**found.parameters, **_origin(found)},
            "evaluations": {key: value for key, value in found.metrics.items() if math.isfinite(value)},
            "tags": {TAG: found.address},
        }
        one = register_file(
            model, path.read_bytes(), loaded, settings=settings, promote=promote, force=force, **details
        )
    return Imported(one.made.name, one.made.version, one.made.champion, one)


def _fits(name: str) -> bool:
    try:
        check_name(name)
    except UserError:
        return False
    return True


def _find(client: Any, server: str, uri: str, asked: re.Match[str]) -> _Found:
    name, alias, number = asked["name"], asked["alias"], asked["number"]
    with _known(server, uri):
        there = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        root = client.get_model_version_download_uri(there.name, there.version)
    run = _run(client, server, there.run_id)
    return _Found(
        name,
        int(there.version),
        root,
        redact(there.source or root),
        there.run_id or None,
        f"{redact(server).rstrip('/')}/#/models/{name}/versions/{there.version}",
        dict(run.data.params) if run else {},
        dict(run.data.metrics) if run else {},
    )


def _run(client: Any, server: str, run_id: str | None) -> Any:
    """The run that made it; None if there was none, or it is gone."""
    from mlflow.exceptions import MlflowException

    def ask() -> Any:
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == REFUSED[0]:
                return None
            raise

    return told(server, ask) if run_id else None


@contextmanager
def _known(server: str, uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in REFUSED:
            raise UserError(f"the MLflow server at {redact(server)} has no {uri}: {why(error)}") from error
        raise UserError(f"the MLflow server at {redact(server)} cannot be used: {why(error)}") from error


def _origin(found: _Found) -> dict[str, str]:
    """Where it came from, as the experiment's parameters."""
    where = {"imported_from": f"models:/{found.name}/{found.number}", "mlflow_source": found.source}
    return where if found.run_id is None else {**where, "mlflow_run_id": found.run_id}


def _named(metadata: ModelMetadata, columns: Sequence[str]) -> ModelMetadata:
    """With the signature's column names, where they fit the only input."""
    if len(metadata.inputs) != 1 or not columns:
        return metadata
    (spec,) = metadata.inputs
    if spec.fields or len(spec.shape) != 2 or spec.shape[1] != len(columns):
        return metadata
    return replace(metadata, inputs=(replace(spec, fields=tuple(columns)),))
