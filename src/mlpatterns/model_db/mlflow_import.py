"""Imports a version from an MLflow registry: its ONNX flavor, with the parameters and metrics of its run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.model_db.importing import NOTHING, ImportedVersion, inspect_file, register_file
from mlpatterns.model_db.mlflow_client import MlflowVersion
from mlpatterns.model_db.mlflow_files import MlflowFiles
from mlpatterns.model_db.mlflow_server import MlflowError, MlflowServer
from mlpatterns.model_db.register import tagged_version
from mlpatterns.redaction import redact
from mlpatterns.references import NAME, check_name
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["TAG", "MlflowImport", "import_mlflow", "is_mlflow"]

TAG = "mlflow"  # the key of the tag with the URL of the version in MLflow
FORM = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]{0,8}))")
REFUSED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's codes for a version that does not exist


class MlflowImport(Struct, frozen=True):
    """The version that the import made or found. `champion` is whether that alias names it. `new` is None if the
    version was imported before."""

    name: str
    version: int
    champion: bool
    new: ImportedVersion | None = None


def is_mlflow(text: str) -> bool:
    """Whether `text` is the URI of a model in MLflow, which begins with ``models:``."""
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
) -> MlflowImport:
    """Registers ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER`` as the next version of `name`. A version that
    was imported before is not registered again, unless `again` is true.

    Args:
        server: the URI of the MLflow server.
        name: the name of the model in this registry; by default its name in MLflow.
        options, promote, force: as in `import_file`.

    Raises:
        UserError: there is no such version, the server does not answer, or the version has no ONNX model.
        MissingExtra: mlflow-skinny is not installed.
    """
    source = _parsed(uri)
    if server is None:
        raise WrongUse(f"{uri} is in an MLflow registry; say which with --mlflow URI or MLFLOW_TRACKING_URI")
    model = _model_name(name, source["name"])
    with (
        MlflowServer(server, "importing from MLflow") as mlflow,
        tempfile.TemporaryDirectory(prefix="mlpatterns-") as folder,
    ):
        found = _version(mlflow, uri, source)
        page = f"{redact(server).rstrip('/')}/#/models/{source['name']}/versions/{found.number}"
        before = None if again else tagged_version(model, TAG, page, url=settings.registry_url)
        if before is not None:
            return MlflowImport(model, *before)
        files = MlflowFiles(mlflow, found.root, Path(folder))
        path = files.whole()
        inspected = inspect_file(path, options, settings)
        inspected = replace(inspected, metadata=_named(inspected.metadata, files.model.columns))
        details: dict[str, Any] = {
            "project": project,
            "parameters": {**found.parameters, **_origin(source["name"], found)},
            "evaluations": found.metrics,
            "tags": {TAG: page},
        }
        content = path.read_bytes()
    one = register_file(model, content, inspected, settings=settings, promote=promote, force=force, **details)
    return MlflowImport(one.made.name, one.made.version, one.made.champion, one)


def _parsed(uri: str) -> re.Match[str]:
    found = FORM.fullmatch(uri)
    if found is None:
        raise WrongUse(f"{uri!r} is not a model of an MLflow registry; write models:/NAME@ALIAS or models:/NAME/NUMBER")
    return found


def _model_name(name: str | None, there: str) -> str:
    """The name of the model in this registry: `name`, or else its name in MLflow, `there`, if that is valid here."""
    if name is None and not re.fullmatch(NAME, there):
        raise WrongUse(f"{there!r} is not a valid model name here; give one with --name")
    check_name(name or there)
    return name or there


def _version(mlflow: MlflowServer, uri: str, source: re.Match[str]) -> MlflowVersion:
    try:
        return mlflow.version(source["name"], alias=source["alias"], number=source["number"])
    except MlflowError as error:
        if error.code in REFUSED:
            raise UserError(f"the MLflow server at {redact(mlflow.uri)} has no {uri}: {error.reason}") from error
        raise


def _origin(name: str, found: MlflowVersion) -> dict[str, str]:
    """The origin of the version, as parameters of the experiment."""
    where = {"imported_from": f"models:/{name}/{found.number}", "mlflow_source": redact(found.source)}
    return where if found.run_id is None else {**where, "mlflow_run_id": found.run_id}


def _named(metadata: ModelMetadata, columns: Sequence[str]) -> ModelMetadata:
    """The metadata with the column names of the MLflow signature, if they fit the only input."""
    if len(metadata.inputs) != 1 or not columns:
        return metadata
    (spec,) = metadata.inputs
    if spec.fields or len(spec.shape) != 2 or spec.shape[1] != len(columns):
        return metadata
    return replace(metadata, inputs=(replace(spec, fields=tuple(columns)),))
