"""The routes of experiments."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from mlpatterns.model_db.api.access import command
from mlpatterns.model_db.api.bodies import ArtifactPathsBody, EvaluationsBody, ExperimentBody
from mlpatterns.model_db.api.sessions import Database, Listing
from mlpatterns.model_db.resources import experiments, models, projects
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import ExperimentRow

__all__ = ["router"]

router = APIRouter(prefix="/experiments", tags=["experiments"])


@router.get("/all")
def all_experiments(listing: Listing) -> list[ExperimentRow]:
    """All experiments, the oldest first."""
    return listing.rows(ExperimentRow, experiments.listed(), experiments.ORDER)


@router.get("/id/{experiment_id}")
def experiment_by_id(experiment_id: str, database: Database) -> ExperimentRow:
    """The experiment with this id."""
    return database.read(lambda session: row(ExperimentRow, experiments.by_id(session, experiment_id)))


@router.get("/model-version-id/{model_version_id:path}")
def experiments_by_model_version_id(model_version_id: str, listing: Listing) -> list[ExperimentRow]:
    """The experiments with this `model_version_id`."""
    return listing.rows(ExperimentRow, experiments.listed(model_version_id=model_version_id), experiments.ORDER)


@router.get("/model-id/{model_id}")
def experiments_by_model_id(model_id: str, listing: Listing) -> list[ExperimentRow]:
    """The experiments of a model."""
    return listing.rows(
        ExperimentRow,
        lambda session: experiments.listed(model_id=models.by_id(session, model_id).model_id),
        experiments.ORDER,
    )


@router.get("/project-id/{project_id}")
def experiments_by_project_id(project_id: str, listing: Listing) -> list[ExperimentRow]:
    """The experiments of all models of a project."""
    return listing.rows(
        ExperimentRow,
        lambda session: experiments.listed(project_id=projects.by_id(session, project_id).project_id),
        experiments.ORDER,
    )


@router.post("")
def add_experiment(body: ExperimentBody, database: Database) -> ExperimentRow:
    """Add an experiment."""
    return database.write(lambda session: row(ExperimentRow, experiments.add(session, **body.model_dump())))


@router.post("/evaluations/{experiment_id}")
def add_evaluations(experiment_id: str, body: EvaluationsBody, database: Database) -> ExperimentRow:
    """Add evaluations to an experiment, by key."""
    return _merged(database, experiment_id, "evaluations", body.evaluations)


@router.post("/artifact-file-paths/{experiment_id}")
def add_artifact_file_paths(experiment_id: str, body: ArtifactPathsBody, database: Database) -> ExperimentRow:
    """Add artifact paths to an experiment, by key."""
    return _merged(database, experiment_id, "artifact_file_paths", body.artifact_file_paths)


@router.delete("/id/{experiment_id}", status_code=204, dependencies=[Depends(command)])
def delete_experiment(experiment_id: str, database: Database) -> None:
    """Delete an experiment that made no version. A command: it needs the admin token."""
    database.write(lambda session: experiments.delete(session, experiment_id))


def _merged(database: Database, experiment_id: str, column: str, values: dict[str, object]) -> ExperimentRow:
    return database.write(lambda session: row(ExperimentRow, experiments.merge(session, experiment_id, column, values)))
