"""Registers a model: its folder first, then one transaction that makes it visible."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlpatterns.errors import UserError
from mlpatterns.model_db.artifacts import Published, publish, withdraw
from mlpatterns.model_db.database import unusable, writing
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.references import DEFAULT_ALIAS
from mlpatterns.registry.files import MODEL

from sqlalchemy import Engine, func, select  # isort: skip - after `database`, which names the extra
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError  # isort: skip
from sqlalchemy.orm import Session  # isort: skip

from mlpatterns.model_db.tables import Alias, Artifact, Experiment, Model, Project, Version, new_id  # isort: skip

__all__ = ["Entry", "RegisteredVersion", "register"]

ATTEMPTS = 20  # two registrations can only meet in making a project, a model or a number


class Entry(Struct, frozen=True):
    """What is registered.

    Attributes:
        files: contents by name; ``model.onnx`` and ``metadata.json`` among them.
        sha256: of ``model.onnx``, in hex.
        parameters, evaluations: of the experiment, as JSON can hold them.
        training_dataset, validation_dataset, test_dataset: what the experiment used, in the author's words.
    """

    model: str
    files: Mapping[str, bytes]
    sha256: str
    project: str = "mlpatterns"
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    evaluations: Mapping[str, Any] | None = None
    training_dataset: str | None = None
    validation_dataset: str | None = None
    test_dataset: str | None = None


class RegisteredVersion(Struct, frozen=True):
    """A version that is now visible. `champion` says whether that alias names it."""

    name: str
    version: int
    folder: Path
    champion: bool


def register(entry: Entry, *, home: Path, url: str, promote: bool = True) -> RegisteredVersion:
    """Publishes the files and adds an experiment and the model's next version.

    Args:
        promote: move the alias ``champion`` to it; a model's first version gets that alias in any case.

    Raises:
        UserError: if the registry or the folder cannot be written.
    """
    if MODEL not in entry.files:
        raise UserError(f"a registered model needs a file {MODEL}")
    made = upgrade(url)
    try:
        key = new_id()
        published = publish(home, entry.model, key, entry.files)
        return _add(made, entry, key, published, promote=promote)
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        made.dispose()


def _add(made: Engine, entry: Entry, key: str, published: Published, *, promote: bool) -> RegisteredVersion:
    """The transaction, again while another process is in its way. A folder that nothing names is removed, but not
    when a commit's answer was lost: a version may name it."""
    committing = False
    try:
        for attempt in range(ATTEMPTS):
            try:
                with Session(writing(made)) as session:
                    number, champion = _insert(session, entry, key, published, promote=promote)
                    session.flush()
                    committing = True
                    session.commit()
                return RegisteredVersion(entry.model, number, published.folder, champion)
            except (IntegrityError, OperationalError) as error:
                if not _may_pass(error) or attempt == ATTEMPTS - 1:
                    raise
                committing = False
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311 - to part two processes
        raise AssertionError
    except BaseException:
        if not committing:
            withdraw(published)
        raise


def _may_pass(error: DBAPIError) -> bool:
    """Another process made the same project, model or number first, or the database broke a deadlock."""
    return isinstance(error, IntegrityError) or "deadlock" in str(error.orig).lower()


def _insert(session: Session, entry: Entry, key: str, published: Published, *, promote: bool) -> tuple[int, bool]:
    model_id = _model(session, entry)
    latest = session.scalar(select(func.max(Version.number)).where(Version.model_id == model_id))
    number = (latest or 0) + 1
    experiment = _experiment(entry, model_id, key, published)
    session.add(experiment)
    session.flush()
    ids = {"version_id": key, "model_id": model_id, "experiment_id": experiment.experiment_id}
    session.add(Version(number=number, sha256=entry.sha256, **ids))
    session.flush()
    session.add(Artifact(version_id=key, url=published.url, manifest_sha256=published.manifest_sha256))
    return number, _point(session, model_id, number, promote=promote)


def _model(session: Session, entry: Entry) -> str:
    """The model's id, made with its project if it is new, locked so that numbers are given one by one."""
    query = select(Model.model_id).where(Model.model_name == entry.model).with_for_update()
    found = session.scalar(query)
    if found is not None:
        return found
    project_id = session.scalar(select(Project.project_id).where(Project.project_name == entry.project))
    if project_id is None:
        project_id = new_id()
        session.add(Project(project_id=project_id, project_name=entry.project))
        session.flush()
    model_id = new_id()
    session.add(Model(model_id=model_id, project_id=project_id, model_name=entry.model, description=entry.description))
    session.flush()
    return model_id


def _experiment(entry: Entry, model_id: str, key: str, published: Published) -> Experiment:
    return Experiment(
        experiment_id=new_id(),
        model_id=model_id,
        model_version_id=key,
        parameters=dict(entry.parameters or {}),
        evaluations=dict(entry.evaluations or {}),
        training_dataset=entry.training_dataset,
        validation_dataset=entry.validation_dataset,
        test_dataset=entry.test_dataset,
        artifact_file_paths={name: f"{published.url}/{name}" for name in sorted(entry.files)},
    )


def _point(session: Session, model_id: str, number: int, *, promote: bool) -> bool:
    """Moves the champion, or gives the model its first; True if it now names `number`."""
    alias = session.get(Alias, (model_id, DEFAULT_ALIAS))
    if alias is None:
        session.add(Alias(model_id=model_id, alias=DEFAULT_ALIAS, number=number))
        return True
    if promote:
        alias.number = number
    return promote
