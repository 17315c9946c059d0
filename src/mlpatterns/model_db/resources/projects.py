"""Projects: groups of models."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict
from mlpatterns.model_db.resources.rows import check_label, found_by_id, found_by_name, has_words
from mlpatterns.model_db.tables import Model, Project

__all__ = ["ORDER", "by_id", "by_name", "delete", "ensure", "listed"]

ORDER = (Project.created_datetime, Project.project_id)


def listed(search: str | None = None) -> Select[Any]:
    """The query for all projects, or for those with `search` in their name or description."""
    query = select(Project)
    if search:
        query = query.where(has_words(search, Project.project_name, Project.description))
    return query


def by_id(session: Session, project_id: str) -> Project:
    return found_by_id(session, Project, project_id)


def by_name(session: Session, project_name: str) -> Project:
    return found_by_name(session, Project, Project.project_name, project_name)


def ensure(session: Session, project_name: str, description: str | None = None) -> Project:
    """The project with this name, which is created if it does not exist.

    Raises:
        InvalidInput: `project_name` is not a valid label.
    """
    check_label("the project's name", project_name)
    found = session.scalar(select(Project).where(Project.project_name == project_name))
    if found is None:
        found = Project(project_name=project_name, description=description)
        session.add(found)
        session.flush()
    return found


def delete(session: Session, project_id: str) -> None:
    """Removes a project that has no models."""
    found = by_id(session, project_id)
    if session.scalar(select(Model.model_id).where(Model.project_id == project_id).limit(1)):
        raise Conflict(f"the project {found.project_name} has models; delete them first")
    session.delete(found)
