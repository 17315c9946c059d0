"""Models, each in a project. Names are unique over all projects, because references find a model by name only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict
from mlpatterns.model_db.resources import projects
from mlpatterns.model_db.resources.rows import check_name, found_by_id, found_by_name, has_words
from mlpatterns.model_db.resources.tags import tagged
from mlpatterns.model_db.tables import Experiment, Model, ModelTag, Project, Version

__all__ = ["ORDER", "by_id", "by_name", "delete", "ensure", "listed", "next_number"]

ORDER = (Model.created_datetime, Model.model_id)


def listed(
    search: str | None = None,
    tags: Sequence[str] = (),
    *,
    project_id: str | None = None,
    project_name: str | None = None,
) -> Select[Any]:
    """The query for all models, or for those with `search` in name or description, with all of `tags` (``KEY`` or
    ``KEY:VALUE``), or of a project."""
    query = tagged(select(Model), Model.model_id, ModelTag.model_id, ModelTag, tags)
    if search:
        query = query.where(has_words(search, Model.model_name, Model.description))
    if project_id is not None:
        query = query.where(Model.project_id == project_id)
    if project_name is not None:
        query = query.join(Project).where(Project.project_name == project_name)
    return query


def by_id(session: Session, model_id: str) -> Model:
    return found_by_id(session, Model, model_id)


def by_name(session: Session, model_name: str) -> Model:
    return found_by_name(session, Model, Model.model_name, model_name)


def ensure(session: Session, project_id: str, model_name: str, description: str | None = None) -> Model:
    """The model with this name, which is created if it does not exist.

    Raises:
        InvalidInput: `model_name` is not a valid name.
        Conflict: a model of another project has this name.
    """
    check_name("the model's name", model_name)
    projects.by_id(session, project_id)
    found = session.scalar(select(Model).where(Model.model_name == model_name))
    if found is None:
        found = Model(project_id=project_id, model_name=model_name, description=description)
        session.add(found)
        session.flush()
    elif found.project_id != project_id:
        raise Conflict(f"another project has a model {model_name}; names are unique over all projects")
    return found


def next_number(session: Session, model_id: str) -> int:
    """The number for the next version. The update locks the model, so that no two transactions get the same number. A
    number is never reused, not even that of a deleted version."""
    counted = update(Model).where(Model.model_id == model_id).values(last_number=Model.last_number + 1)
    session.execute(counted, execution_options={"synchronize_session": False})
    return session.execute(select(Model.last_number).where(Model.model_id == model_id)).scalar_one()


def delete(session: Session, model_id: str) -> None:
    """Removes a model that has neither versions nor experiments."""
    found = by_id(session, model_id)
    for kind, what in ((Version, "versions"), (Experiment, "experiments")):
        if session.scalar(select(kind.model_id).where(kind.model_id == model_id).limit(1)):
            raise Conflict(f"the model {found.model_name} has {what}; delete them first")
    session.delete(found)
