"""Deployments, which record where versions serve, and the lineage of versions and datasets."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict, NotFound
from mlpatterns.model_db.resources import experiments, versions
from mlpatterns.model_db.resources.rows import check_label, row
from mlpatterns.model_db.tables import Deployment, Experiment, Version, now
from mlpatterns.registry.records import DeploymentRow, ExperimentRow, LineageRow, VersionRow

__all__ = ["add", "end", "listed", "of_dataset", "of_version"]


def listed(session: Session, model_name: str, number: int) -> list[Deployment]:
    """The deployments of a version, the oldest first."""
    return versions.by_number(session, model_name, number).deployments


def add(session: Session, model_name: str, number: int, deployment_name: str) -> Deployment:
    """Records that a version serves somewhere from now on."""
    check_label("the deployment's name", deployment_name)
    version = versions.by_number(session, model_name, number)
    made = Deployment(version_id=version.version_id, deployment_name=deployment_name)
    session.add(made)
    session.flush()
    return made


def end(session: Session, deployment_id: str) -> Deployment:
    """Records that a deployment has ended."""
    found = session.scalar(select(Deployment).where(Deployment.deployment_id == deployment_id).with_for_update())
    if found is None:
        raise NotFound("there is no deployment of this id")
    if found.ended_datetime is not None:
        raise Conflict(f"the deployment {found.deployment_name} has ended already")
    found.ended_datetime = now()
    return found


def of_version(session: Session, model_name: str, number: int) -> LineageRow:
    """The data and experiment that made a version, and its deployments."""
    version = versions.by_number(session, model_name, number)
    experiment = experiments.by_id(session, version.experiment_id) if version.experiment_id else None
    return _lineage(experiment, version)


def of_dataset(session: Session, dataset_sha256: str) -> list[LineageRow]:
    """The experiments that used a dataset, the oldest first, each with the version that it made, if it made one."""
    found = session.scalars(experiments.listed(dataset_sha256=dataset_sha256).order_by(*experiments.ORDER)).all()
    made = session.scalars(select(Version).where(Version.experiment_id.in_([each.experiment_id for each in found])))
    versions_by_experiment = {version.experiment_id: version for version in made}
    return [_lineage(each, versions_by_experiment.get(each.experiment_id)) for each in found]


def _lineage(experiment: Experiment | None, version: Version | None) -> LineageRow:
    return LineageRow(
        experiment.dataset_sha256 if experiment else None,
        row(ExperimentRow, experiment) if experiment else None,
        row(VersionRow, version) if version else None,
        [row(DeploymentRow, each) for each in version.deployments] if version else [],
    )
