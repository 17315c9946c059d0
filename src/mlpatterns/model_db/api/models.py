"""The routes of models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from mlpatterns.model_db.api.access import command
from mlpatterns.model_db.api.bodies import ModelBody
from mlpatterns.model_db.api.projects import Search
from mlpatterns.model_db.api.sessions import Database, Listing
from mlpatterns.model_db.resources import models, projects
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import ModelRow

__all__ = ["Tags", "router"]

router = APIRouter(prefix="/models", tags=["models"])
Tags = Annotated[list[str], Query(description="`KEY` or `KEY:VALUE`; only models that have all of these tags.")]


@router.get("/all")
def all_models(listing: Listing, search: Search = None, tag: Tags = []) -> list[ModelRow]:  # noqa: B006 - FastAPI copies
    """All models, the oldest first."""
    return listing.rows(ModelRow, models.listed(search, tag), models.ORDER)


@router.get("/id/{model_id}")
def model_by_id(model_id: str, database: Database) -> ModelRow:
    """The model with this id."""
    return database.read(lambda session: row(ModelRow, models.by_id(session, model_id)))


@router.get("/name/{model_name}")
def model_by_name(model_name: str, database: Database) -> ModelRow:
    """The model with this name."""
    return database.read(lambda session: row(ModelRow, models.by_name(session, model_name)))


@router.get("/project-id/{project_id}")
def models_by_project_id(project_id: str, listing: Listing) -> list[ModelRow]:
    """The models of the project with this id."""
    return listing.rows(
        ModelRow,
        lambda session: models.listed(project_id=projects.by_id(session, project_id).project_id),
        models.ORDER,
    )


@router.get("/project-name/{project_name:path}")
def models_by_project_name(project_name: str, listing: Listing) -> list[ModelRow]:
    """The models of the project with this name."""
    return listing.rows(
        ModelRow,
        lambda session: models.listed(project_id=projects.by_name(session, project_name).project_id),
        models.ORDER,
    )


@router.post("")
def add_model(body: ModelBody, database: Database) -> ModelRow:
    """Create the model, or return the existing model with this name. 409 if it belongs to another project."""
    return database.write(
        lambda session: row(ModelRow, models.ensure(session, body.project_id, body.model_name, body.description))
    )


@router.delete("/id/{model_id}", status_code=204, dependencies=[Depends(command)])
def delete_model(model_id: str, database: Database) -> None:
    """Delete a model that has neither versions nor experiments. A command: it needs the admin token."""
    database.write(lambda session: models.delete(session, model_id))
