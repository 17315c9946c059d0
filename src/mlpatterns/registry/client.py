"""A typed client of the model DB's service, with the HTTP client of the standard library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from mlpatterns.registry.records import (
    AliasRow,
    DeploymentRow,
    ExperimentRow,
    LineageRow,
    ModelRow,
    ProjectRow,
    VersionRow,
)
from mlpatterns.registry.transport import ServiceTransport, segment

__all__ = ["RegistryClient"]

ANY: Literal["any"] = "any"
Expected = int | Literal["any"] | None


class RegistryClient:
    """One connection to a model DB's service; a `with` statement closes it. Only one thread at a time may use it.

    Its methods block. They raise NotFound, Conflict, InvalidInput or Denied as the service answers, and Unavailable if
    it cannot be reached. If the connection fails, only requests that read are sent once more.

    Args:
        url: the address of the service, e.g. ``http://127.0.0.1:8000``.
        api_key, admin_token: credentials, if the service requires them; deletions and alias moves need the token.
        api_version: the API version in the service's paths.
        timeout: seconds that each network operation may take.

    Raises:
        UserError: `url` is not an http or https address.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        admin_token: str | None = None,
        api_version: str = "v0.1",
        timeout: float = 30.0,
    ) -> None:
        credentials = {"x-api-key": api_key, "x-admin-token": admin_token}
        headers = {name: value for name, value in credentials.items() if value is not None}
        self.url = url
        self._service = ServiceTransport(url, f"/{api_version}/api", headers, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next call opens a new one."""
        self._service.close()

    # ---- projects ------------------------------------------------------------------------------------------------

    def add_project(self, project_name: str, description: str | None = None) -> ProjectRow:
        """Returns the project with this name, and creates it if it does not exist."""
        body = {"project_name": project_name, "description": description}
        return self._service.ask("POST", "/projects", ProjectRow, body)

    def projects(self, search: str | None = None) -> Iterator[ProjectRow]:
        """All projects, or those whose name or description contains `search`."""
        return self._service.pages("/projects/all", ProjectRow, {"search": search})

    def project(self, project_name: str) -> ProjectRow:
        return self._service.ask("GET", f"/projects/name/{segment(project_name)}", ProjectRow)

    def delete_project(self, project_id: str) -> None:
        """Deletes a project that has no models."""
        self._service.delete(f"/projects/id/{segment(project_id)}")

    # ---- models --------------------------------------------------------------------------------------------------

    def add_model(self, project_id: str, model_name: str, description: str | None = None) -> ModelRow:
        """Returns the model with this name, and creates it if it does not exist."""
        body = {"project_id": project_id, "model_name": model_name, "description": description}
        return self._service.ask("POST", "/models", ModelRow, body)

    def models(self, search: str | None = None, *, tags: Sequence[str] = ()) -> Iterator[ModelRow]:
        """The models with `search` in their name or description and with all `tags` (``KEY`` or ``KEY:VALUE``)."""
        return self._service.pages("/models/all", ModelRow, {"search": search, "tag": list(tags)})

    def model(self, model_name: str) -> ModelRow:
        return self._service.ask("GET", f"/models/name/{segment(model_name)}", ModelRow)

    def delete_model(self, model_id: str) -> None:
        """Deletes a model that has neither versions nor experiments."""
        self._service.delete(f"/models/id/{segment(model_id)}")

    def tag_model(self, model_name: str, key: str, value: str) -> ModelRow:
        return self._service.ask(
            "PUT", f"/models/name/{segment(model_name)}/tags/{segment(key)}", ModelRow, {"value": value}
        )

    def untag_model(self, model_name: str, key: str) -> None:
        self._service.delete(f"/models/name/{segment(model_name)}/tags/{segment(key)}")

    # ---- experiments ---------------------------------------------------------------------------------------------

    def add_experiment(
        self,
        model_id: str,
        model_version_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        training_dataset: str | None = None,
        validation_dataset: str | None = None,
        test_dataset: str | None = None,
        evaluations: Mapping[str, Any] | None = None,
        artifact_file_paths: Mapping[str, Any] | None = None,
    ) -> ExperimentRow:
        """Records a training run; a digest ``sha256:…`` in `training_dataset` becomes part of the lineage."""
        body = {
            "model_id": model_id,
            "model_version_id": model_version_id,
            "parameters": parameters,
            "training_dataset": training_dataset,
            "validation_dataset": validation_dataset,
            "test_dataset": test_dataset,
            "evaluations": evaluations,
            "artifact_file_paths": artifact_file_paths,
        }
        return self._service.ask("POST", "/experiments", ExperimentRow, body)

    def experiments(self, model_id: str | None = None) -> Iterator[ExperimentRow]:
        """All experiments, or the experiments of one model."""
        path = "/experiments/all" if model_id is None else f"/experiments/model-id/{segment(model_id)}"
        return self._service.pages(path, ExperimentRow, {})

    def experiment(self, experiment_id: str) -> ExperimentRow:
        return self._service.ask("GET", f"/experiments/id/{segment(experiment_id)}", ExperimentRow)

    def add_evaluations(self, experiment_id: str, evaluations: Mapping[str, Any]) -> ExperimentRow:
        """Adds evaluations to an experiment, by key."""
        path = f"/experiments/evaluations/{segment(experiment_id)}"
        return self._service.ask("POST", path, ExperimentRow, {"evaluations": evaluations})

    def add_artifact_file_paths(self, experiment_id: str, paths: Mapping[str, Any]) -> ExperimentRow:
        """Adds artifact paths to an experiment, by key."""
        path = f"/experiments/artifact-file-paths/{segment(experiment_id)}"
        return self._service.ask("POST", path, ExperimentRow, {"artifact_file_paths": paths})

    def delete_experiment(self, experiment_id: str) -> None:
        """Deletes an experiment that produced no version."""
        self._service.delete(f"/experiments/id/{segment(experiment_id)}")

    # ---- versions and aliases ------------------------------------------------------------------------------------

    def add_version(
        self,
        model_name: str,
        *,
        sha256: str,
        artifact_url: str,
        manifest_sha256: str,
        experiment_id: str | None = None,
    ) -> VersionRow:
        """Registers the model's next version; its files must already be stored."""
        body = {
            "sha256": sha256,
            "artifact_url": artifact_url,
            "manifest_sha256": manifest_sha256,
            "experiment_id": experiment_id,
        }
        return self._service.ask("POST", f"/models/name/{segment(model_name)}/versions", VersionRow, body)

    def versions(self, model_name: str, *, tags: Sequence[str] = ()) -> Iterator[VersionRow]:
        """The versions of a model that have all `tags`, in order of their numbers."""
        return self._service.pages(f"/models/name/{segment(model_name)}/versions", VersionRow, {"tag": list(tags)})

    def version(self, model_name: str, number: int) -> VersionRow:
        return self._service.ask("GET", _version(model_name, number), VersionRow)

    def delete_version(self, model_name: str, number: int) -> None:
        """Deletes a version that has no alias and is not deployed."""
        self._service.delete(_version(model_name, number))

    def tag_version(self, model_name: str, number: int, key: str, value: str) -> VersionRow:
        return self._service.ask(
            "PUT", f"{_version(model_name, number)}/tags/{segment(key)}", VersionRow, {"value": value}
        )

    def untag_version(self, model_name: str, number: int, key: str) -> None:
        self._service.delete(f"{_version(model_name, number)}/tags/{segment(key)}")

    def aliases(self, model_name: str) -> list[AliasRow]:
        """The aliases of a model, ordered by name."""
        return self._service.ask("GET", f"/models/name/{segment(model_name)}/aliases", list[AliasRow])

    def alias(self, model_name: str, alias: str) -> AliasRow:
        return self._service.ask("GET", f"/models/name/{segment(model_name)}/aliases/{segment(alias)}", AliasRow)

    def move_alias(
        self, model_name: str, alias: str, number: int, *, expected: Expected = ANY, force: bool = False
    ) -> AliasRow:
        """Points an alias at a version, if it names the `expected` version now; None means that it must not exist.

        Args:
            force: also accept a version with other inputs, outputs or labels, or with a far worse evaluation.

        Raises:
            Conflict: the alias names another version, or `force` would be needed; nothing was changed.
        """
        path = f"/models/name/{segment(model_name)}/aliases/{segment(alias)}"
        body = {"number": number, "expected": expected, **({"force": True} if force else {})}
        return self._service.ask("PUT", path, AliasRow, body)

    def delete_alias(self, model_name: str, alias: str) -> None:
        self._service.delete(f"/models/name/{segment(model_name)}/aliases/{segment(alias)}")

    # ---- lineage -------------------------------------------------------------------------------------------------

    def add_deployment(self, model_name: str, number: int, deployment_name: str) -> DeploymentRow:
        """Records that a version is deployed now."""
        body = {"deployment_name": deployment_name}
        return self._service.ask("POST", f"{_version(model_name, number)}/deployments", DeploymentRow, body)

    def deployments(self, model_name: str, number: int) -> list[DeploymentRow]:
        """The current and past deployments of a version, oldest first."""
        return self._service.ask("GET", f"{_version(model_name, number)}/deployments", list[DeploymentRow])

    def end_deployment(self, deployment_id: str) -> DeploymentRow:
        """Records that a deployment has ended."""
        return self._service.ask("POST", f"/deployments/{segment(deployment_id)}/end", DeploymentRow)

    def lineage(self, model_name: str, number: int) -> LineageRow:
        """The dataset and the experiment that produced a version, and its deployments."""
        return self._service.ask("GET", f"{_version(model_name, number)}/lineage", LineageRow)

    def made_of(self, dataset_sha256: str) -> list[LineageRow]:
        """The experiments that used a dataset, with their versions and deployments."""
        return self._service.ask("GET", f"/lineage/dataset/{segment(dataset_sha256)}", list[LineageRow])


def _version(model_name: str, number: int) -> str:
    return f"/models/name/{segment(model_name)}/versions/{number:d}"
