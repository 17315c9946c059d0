"""Versions of models, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict, NotFound
from mlpatterns.model_db.resources import experiments, models
from mlpatterns.model_db.resources.tags import tagged
from mlpatterns.model_db.tables import Artifact, Model, Version, VersionTag, new_id

__all__ = ["ORDER", "add", "by_number", "delete", "listed"]

ORDER = (Version.number,)


def listed(model: Model, tags: Sequence[str] = ()) -> Select[Any]:
    """The query for the versions of a model that have all of `tags`."""
    query = select(Version).where(Version.model_id == model.model_id)
    return tagged(query, Version.version_id, VersionTag.version_id, VersionTag, tags)


def by_number(session: Session, model_name: str, number: int) -> Version:
    model = models.by_name(session, model_name)
    found = session.scalar(select(Version).where(Version.model_id == model.model_id, Version.number == number))
    if found is None:
        raise NotFound(f"the model has no version {number}; its last version number is {model.last_number}")
    return found


def add(
    session: Session,
    model: Model,
    *,
    sha256: str,
    artifact_url: str,
    manifest_sha256: str,
    experiment_id: str | None = None,
    version_id: str | None = None,
) -> Version:
    """Adds the model's next version, with its artifact.

    Raises:
        NotFound: there is no such experiment.
        Conflict: the experiment belongs to another model, or has made another version.
    """
    if experiment_id is not None:
        _check(session, experiments.by_id(session, experiment_id).model_id == model.model_id, experiment_id)
    made = Version(
        version_id=version_id or new_id(),
        model_id=model.model_id,
        number=models.next_number(session, model.model_id),
        experiment_id=experiment_id,
        sha256=sha256,
    )
    made.artifact = Artifact(url=artifact_url, manifest_sha256=manifest_sha256)
    session.add(made)
    session.flush()
    return made


def _check(session: Session, own: bool, experiment_id: str) -> None:
    if not own:
        raise Conflict("the experiment belongs to another model")
    number = session.scalar(select(Version.number).where(Version.experiment_id == experiment_id))
    if number is not None:
        raise Conflict(f"the experiment made version {number}, and an experiment makes only one")


def delete(session: Session, model_name: str, number: int) -> str | None:
    """Removes a version that no alias names and that serves nowhere. Returns the URL of its files, which the caller
    must remove after the commit; None if another version has the same files."""
    found = by_number(session, model_name, number)
    if found.aliases:
        raise Conflict(f"{model_name}:{number} is what {', '.join(found.aliases)} names; move the alias first")
    running = [each.deployment_name for each in found.deployments if each.ended_datetime is None]
    if running:
        raise Conflict(f"{model_name}:{number} serves at {', '.join(running)}; end the deployment first")
    url = found.artifact_url
    session.delete(found)
    session.flush()
    others = session.scalar(select(Artifact.version_id).where(Artifact.url == url).limit(1))
    return url if others is None else None
