"""The routes of projects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from mlpatterns.model_db.api.access import command
from mlpatterns.model_db.api.bodies import ProjectBody
from mlpatterns.model_db.api.sessions import Database, Listing
from mlpatterns.model_db.resources import projects
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import ProjectRow

__all__ = ["Search", "router"]

router = APIRouter(prefix="/projects", tags=["projects"])
Search = Annotated[str | None, Query(max_length=128, description="Words in the name or the description.")]


@router.get("/all")
def all_projects(listing: Listing, search: Search = None) -> list[ProjectRow]:
    """All projects, the oldest first."""
    return listing.rows(ProjectRow, projects.listed(search), projects.ORDER)


@router.get("/id/{project_id}")
def project_by_id(project_id: str, database: Database) -> ProjectRow:
    """The project with this id."""
    return database.read(lambda session: row(ProjectRow, projects.by_id(session, project_id)))


@router.get("/name/{project_name:path}")
def project_by_name(project_name: str, database: Database) -> ProjectRow:
    """The project with this name."""
    return database.read(lambda session: row(ProjectRow, projects.by_name(session, project_name)))


@router.post("")
def add_project(body: ProjectBody, database: Database) -> ProjectRow:
    """Create the project, or return the existing project with this name."""
    return database.write(
        lambda session: row(ProjectRow, projects.ensure(session, body.project_name, body.description))
    )


@router.delete("/id/{project_id}", status_code=204, dependencies=[Depends(command)])
def delete_project(project_id: str, database: Database) -> None:
    """Delete a project that has no models. A command: it needs the admin token."""
    database.write(lambda session: projects.delete(session, project_id))
