"""The routes of deployments and lineage."""

from __future__ import annotations

from fastapi import APIRouter

from mlpatterns.model_db.api.bodies import DeploymentBody, Number, Sha256
from mlpatterns.model_db.api.sessions import Database
from mlpatterns.model_db.resources import deployments
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import DeploymentRow, LineageRow

__all__ = ["router"]

router = APIRouter(tags=["lineage"])
VERSION = "/models/name/{model_name}/versions/{number}"


@router.get(f"{VERSION}/deployments")
def all_deployments(model_name: str, number: Number, database: Database) -> list[DeploymentRow]:
    """The deployments of a version, the oldest first."""
    return database.read(
        lambda session: [row(DeploymentRow, each) for each in deployments.listed(session, model_name, number)]
    )


@router.post(f"{VERSION}/deployments")
def add_deployment(model_name: str, number: Number, body: DeploymentBody, database: Database) -> DeploymentRow:
    """Record that a version serves somewhere from now on. The version cannot be deleted until the deployment ends."""
    return database.write(
        lambda session: row(DeploymentRow, deployments.add(session, model_name, number, body.deployment_name))
    )


@router.post("/deployments/{deployment_id}/end")
def end_deployment(deployment_id: str, database: Database) -> DeploymentRow:
    """Record that a deployment has ended."""
    return database.write(lambda session: row(DeploymentRow, deployments.end(session, deployment_id)))


@router.get(f"{VERSION}/lineage")
def lineage_of_version(model_name: str, number: Number, database: Database) -> LineageRow:
    """The data and experiment that made a version, and its deployments."""
    return database.read(lambda session: deployments.of_version(session, model_name, number))


@router.get("/lineage/dataset/{dataset_sha256}")
def lineage_of_dataset(dataset_sha256: Sha256, database: Database) -> list[LineageRow]:
    """The experiments that used a dataset, with their versions and deployments."""
    return database.read(lambda session: deployments.of_dataset(session, dataset_sha256))
