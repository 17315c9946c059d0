"""Registers a model: first its folder is published, then one transaction makes the version visible.

The first version of a model becomes its champion. A later version is only registered; `promotion.py` checks it before
the alias moves to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import InvalidInput
from mlpatterns.model_db.artifacts import PublishedArtifact, publish, remove_unnamed
from mlpatterns.model_db.database import Writer, unusable
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.onnx_format.weights import external_files
from mlpatterns.references import DEFAULT_ALIAS
from mlpatterns.references import check_name as check_model_name
from mlpatterns.registry.digests import identity_of
from mlpatterns.registry.files import MODEL
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UserError, WrongUse

from sqlalchemy import Engine, select  # isort: skip - after `database`, which names the extra
from sqlalchemy.exc import DBAPIError  # isort: skip
from sqlalchemy.orm import Session  # isort: skip

from mlpatterns.model_db.resources import experiments, models, projects, tags, versions  # isort: skip
from mlpatterns.model_db.resources.rows import check_label, check_name  # isort: skip
from mlpatterns.model_db.promotion import worse_than_alias, promote as promote_version  # isort: skip
from mlpatterns.model_db.tables import Alias, Model, Version, VersionTag, new_id, now  # isort: skip

__all__ = ["RegisteredVersion", "Registration", "register", "tagged_version"]


class Registration(Struct, frozen=True):
    """A model to register.

    Attributes:
        files: the contents by file name, with ``model.onnx`` and ``metadata.json``.
        parameters, evaluations: the parameters and evaluations of the experiment, as JSON values.
        training_dataset, validation_dataset, test_dataset: the datasets of the experiment, as free text.
        tags: the tags of the version.
    """

    model: str
    files: Mapping[str, bytes]
    project: str = "mlpatterns"
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    evaluations: Mapping[str, Any] | None = None
    training_dataset: str | None = None
    validation_dataset: str | None = None
    test_dataset: str | None = None
    tags: Mapping[str, str] = {}

    @property
    def sha256(self) -> str:
        """The digest of ``model.onnx`` and its external weights, in hex; the SHA-256 of the file if it has none."""
        weights = {name: _sha256(self.files[name]) for name in external_files(self.files[MODEL])}
        return identity_of(_sha256(self.files[MODEL]), weights)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class RegisteredVersion(Struct, frozen=True):
    """A version that is now visible.

    Attributes:
        folder: its files on this machine; a cached copy if they were published to a store.
        champion: whether the alias ``champion`` names it.
        released: the version that the alias names, or None.
        behind: the reason if it is far worse than the champion; else empty.
        refused: why it was not promoted although `promote` was True; else empty.
    """

    name: str
    version: int
    folder: Path
    champion: bool
    released: int | None = None
    behind: str = ""
    refused: str = ""


def register(
    entry: Registration, settings: Settings, *, promote: bool = False, force: bool = False, unfit: str = ""
) -> RegisteredVersion:
    """Publishes the files and adds an experiment and the model's next version.

    Args:
        settings: the settings with the URLs of the registry and the artifacts.
        promote: whether to move the alias ``champion`` to it, if it passes the checks. If it does not pass, it is still
            registered, and `refused` has the reason. This blocks, and needs a thread without an event loop.
        force: with `promote`, whether to skip the checks.
        unfit: why it should not serve, if the caller knows a reason. Then it becomes champion only with `force`, even
            if there is no champion.

    Raises:
        WrongUse: a name or a tag is not valid.
        UserError: the registry or the folder cannot be written.
    """
    if MODEL not in entry.files:
        raise UserError(f"a registered model needs a file {MODEL}")
    _check_names(entry)
    made = upgrade(settings.registry_url)
    try:
        key = new_id()
        published = publish(settings.artifacts_url, entry.model, key, entry.files, home=settings.home)
        added = _add(made, entry, key, published, _Pointing(always=promote and force, first=not unfit))
        return _promoted(added, made, settings, unfit) if promote and not added.champion else added
    except DBAPIError as error:
        raise unusable(settings.registry_url, error) from error
    finally:
        made.dispose()


def tagged_version(name: str, tag: str, value: str, *, url: str) -> tuple[int, bool] | None:
    """The first version of a model that has this tag with this value, and whether it is the champion; or None.

    Raises:
        UserError: the registry cannot be used.
    """
    made = upgrade(url)
    mine = select(VersionTag.version_id).where(VersionTag.tag_key == tag, VersionTag.tag_value == value)
    query = select(Version).join(Model).where(Model.model_name == name, Version.version_id.in_(mine))
    try:
        with Session(made) as session:
            found = session.scalars(query.order_by(Version.number)).unique().first()
            return None if found is None else (found.number, DEFAULT_ALIAS in found.aliases)
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        made.dispose()


def _check_names(entry: Registration) -> None:
    """Checks the names before anything is published, because the transaction would refuse invalid ones too late."""
    check_model_name(entry.model)
    try:
        check_label("the project's name", entry.project)
        for key, value in entry.tags.items():
            check_name("a tag's key", key)
            check_label("a tag's value", value)
    except InvalidInput as error:
        raise WrongUse(str(error)) from error


def _promoted(added: RegisteredVersion, made: Engine, settings: Settings, unfit: str) -> RegisteredVersion:
    if unfit:
        return replace(added, refused=f"{added.name}:{added.version} cannot be released: {unfit}")
    try:
        promote_version(made, settings, added.name, added.version)
    except UserError as error:
        return replace(added, refused=str(error))
    return replace(added, champion=True, released=added.version)


class _Pointing(Struct, frozen=True):
    """Whether the transaction moves the alias ``champion``: always, or if the model has no champion yet (`first`)."""

    always: bool
    first: bool


def _add(
    made: Engine, entry: Registration, key: str, published: PublishedArtifact, pointing: _Pointing
) -> RegisteredVersion:
    """Runs the transaction. If it fails, the folder is removed, unless the answer to the commit was lost: then a
    version may name the folder."""
    writer = Writer(made)
    try:
        number, released, behind = writer.run(lambda session: _insert(session, entry, key, published, pointing))
    except BaseException:
        if not writer.unsure:
            remove_unnamed(published.root, published.url)
        raise
    return RegisteredVersion(entry.model, number, published.folder, released == number, released, behind)


def _insert(
    session: Session, entry: Registration, key: str, published: PublishedArtifact, pointing: _Pointing
) -> tuple[int, int | None, str]:
    """The number of the new version, the number of the champion after that, and the reason if it is far worse."""
    model = _model(session, entry)
    experiment = experiments.add(
        session,
        model.model_id,
        key,
        parameters=dict(entry.parameters or {}),
        evaluations=dict(entry.evaluations or {}),
        training_dataset=entry.training_dataset,
        validation_dataset=entry.validation_dataset,
        test_dataset=entry.test_dataset,
        artifact_file_paths={name: f"{published.url}/{name}" for name in sorted(entry.files)},
    )
    version = versions.add(
        session,
        model,
        sha256=entry.sha256,
        artifact_url=published.url,
        manifest_sha256=published.manifest_sha256,
        experiment_id=experiment.experiment_id,
        version_id=key,
    )
    for tag, value in entry.tags.items():
        tags.set_tag(version, tag, value)
    released = _point(session, model.model_id, version.number, pointing)
    return version.number, released, worse_than_alias(session, entry.model, version.number, DEFAULT_ALIAS)


def _model(session: Session, entry: Registration) -> Model:
    """The model, locked; it is created with its project if it is new. Without this lock, the foreign key of an
    experiment could give two transactions a shared lock on the row, and neither could update its last number."""
    found = session.scalar(select(Model).where(Model.model_name == entry.model).with_for_update())
    if found is not None:
        return found
    project = projects.ensure(session, entry.project)
    return models.ensure(session, project.project_id, entry.model, entry.description)


def _point(session: Session, model_id: str, number: int, pointing: _Pointing) -> int | None:
    """Moves or creates the alias ``champion``, as `pointing` allows. Returns the number that it names after that."""
    alias = session.get(Alias, (model_id, DEFAULT_ALIAS))
    if alias is None:
        if not (pointing.first or pointing.always):
            return None
        session.add(Alias(model_id=model_id, alias=DEFAULT_ALIAS, number=number))
        return number
    if pointing.always:
        alias.number, alias.updated_datetime = number, now()
    return alias.number
