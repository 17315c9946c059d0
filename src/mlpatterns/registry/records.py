"""The rows that the model DB returns, described once for its service, its client and its OpenAPI document.

They are dataclasses, because FastAPI documents dataclasses and msgspec decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["AliasRow", "DeploymentRow", "ExperimentRow", "LineageRow", "ModelRow", "ProjectRow", "VersionRow"]


@dataclass(frozen=True)
class ProjectRow:
    """A group of models."""

    project_id: str
    project_name: str
    description: str | None
    created_datetime: datetime


@dataclass(frozen=True)
class ModelRow:
    """A model. `last_number` is the number that its latest version got, even if it was deleted; 0 if there was none."""

    model_id: str
    project_id: str
    model_name: str
    description: str | None
    last_number: int
    tags: dict[str, str]
    created_datetime: datetime


@dataclass(frozen=True)
class ExperimentRow:
    """One training run. `dataset_sha256` is the digest in `training_dataset`, or None if it contains none."""

    experiment_id: str
    model_id: str
    model_version_id: str
    parameters: dict[str, Any] | None
    training_dataset: str | None
    validation_dataset: str | None
    test_dataset: str | None
    evaluations: dict[str, Any] | None
    artifact_file_paths: dict[str, Any] | None
    dataset_sha256: str | None
    created_datetime: datetime


@dataclass(frozen=True)
class VersionRow:
    """Version `number` of a model. `sha256` is the digest of its model file and its external weights. `manifest_sha256`
    is the digest of the list of all its files. `artifact_url` is relative to the root of all artifacts."""

    version_id: str
    model_id: str
    model_name: str
    number: int
    experiment_id: str | None
    sha256: str
    artifact_url: str
    manifest_sha256: str
    aliases: list[str]
    tags: dict[str, str]
    created_datetime: datetime


@dataclass(frozen=True)
class AliasRow:
    """A name for one version of a model."""

    model_id: str
    alias: str
    number: int
    updated_datetime: datetime


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment of a version, which is active or ended at `ended_datetime`."""

    deployment_id: str
    version_id: str
    deployment_name: str
    created_datetime: datetime
    ended_datetime: datetime | None


@dataclass(frozen=True)
class LineageRow:
    """The digest of a dataset, the experiment that used it, the version that the experiment produced, and the version's
    deployments."""

    dataset_sha256: str | None
    experiment: ExperimentRow | None
    version: VersionRow | None
    deployments: list[DeploymentRow]
