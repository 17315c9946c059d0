"""The rows that the model DB returns, described once for its service, its client and its OpenAPI document.

Dataclasses, because FastAPI documents them and msgspec reads them.
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
    """A model. `last_number` is the last that a version was given, or 0."""

    model_id: str
    project_id: str
    model_name: str
    description: str | None
    last_number: int
    tags: dict[str, str]
    created_datetime: datetime


@dataclass(frozen=True)
class ExperimentRow:
    """One training run. `dataset_sha256` is the digest that `training_dataset` names, if it names one."""

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
    """Version `number` of a model. `sha256` is of its model file, and of the weights that it keeps in others,
    `manifest_sha256` of the list of all its files, `artifact_url` where they are, relative to the artifacts' root."""

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
    """Where a version serves, or served until `ended_datetime`."""

    deployment_id: str
    version_id: str
    deployment_name: str
    created_datetime: datetime
    ended_datetime: datetime | None


@dataclass(frozen=True)
class LineageRow:
    """The digest of the data, the experiment that used it, the version that it made, and the version's deployments."""

    dataset_sha256: str | None
    experiment: ExperimentRow | None
    version: VersionRow | None
    deployments: list[DeploymentRow]
