"""Experiments: training runs, with their data, parameters and evaluations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict
from mlpatterns.model_db.resources import models
from mlpatterns.model_db.resources.rows import check_label, found_by_id
from mlpatterns.model_db.tables import Experiment, Model, Version

__all__ = ["ORDER", "add", "by_id", "dataset_digest", "delete", "listed", "merge"]

ORDER = (Experiment.created_datetime, Experiment.experiment_id)
DIGEST = re.compile(r"sha256:([0-9a-f]{64})\b")


def listed(
    *,
    model_id: str | None = None,
    project_id: str | None = None,
    model_version_id: str | None = None,
    dataset_sha256: str | None = None,
) -> Select[Any]:
    """The query for all experiments, or for those of a model, a project or a dataset, or with a `model_version_id`."""
    query = select(Experiment)
    for column, value in (
        (Experiment.model_id, model_id),
        (Experiment.model_version_id, model_version_id),
        (Experiment.dataset_sha256, dataset_sha256),
    ):
        if value is not None:
            query = query.where(column == value)
    if project_id is not None:
        query = query.join(Model, Model.model_id == Experiment.model_id).where(Model.project_id == project_id)
    return query


def by_id(session: Session, experiment_id: str) -> Experiment:
    return found_by_id(session, Experiment, experiment_id)


def add(session: Session, model_id: str, model_version_id: str, **columns: Any) -> Experiment:
    """Adds an experiment of a model. `columns` are further columns of the table."""
    models.by_id(session, model_id)
    check_label("model_version_id", model_version_id)
    made = Experiment(model_id=model_id, model_version_id=model_version_id, **columns)
    made.dataset_sha256 = dataset_digest(made.training_dataset)
    session.add(made)
    session.flush()
    return made


def dataset_digest(dataset: str | None) -> str | None:
    """The digest in an author's description of a dataset, written as ``sha256:`` and 64 hex digits; None if absent."""
    found = DIGEST.search(dataset or "")
    return found[1] if found else None


def merge(session: Session, experiment_id: str, column: str, values: Mapping[str, Any]) -> Experiment:
    """Merges `values` into a JSON column by key. The row is locked, so that no concurrent change is lost."""
    found = session.scalar(select(Experiment).where(Experiment.experiment_id == experiment_id).with_for_update())
    if found is None:
        return by_id(session, experiment_id)
    setattr(found, column, {**(getattr(found, column) or {}), **values})
    return found


def delete(session: Session, experiment_id: str) -> None:
    """Removes an experiment that made no version."""
    found = by_id(session, experiment_id)
    number = session.scalar(select(Version.number).where(Version.experiment_id == experiment_id))
    if number is not None:
        raise Conflict(f"the experiment made version {number}; delete that first")
    session.delete(found)
