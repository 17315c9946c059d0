"""Checks before an alias moves to another version: runs the new version, and compares it with the current one."""

from __future__ import annotations

import logging

from mlpatterns.errors import Conflict
from mlpatterns.model_db.database import Writer
from mlpatterns.models.release_checks import check_release
from mlpatterns.references import DEFAULT_ALIAS
from mlpatterns.registry.evaluations import VersionEvaluation, far_below
from mlpatterns.registry.signature import difference, signature_of
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import UserError

from sqlalchemy import Engine  # isort: skip - after `database`, which names the extra
from sqlalchemy.orm import Session  # isort: skip

from mlpatterns.model_db.resources import aliases, experiments, versions  # isort: skip
from mlpatterns.model_db.tables import Alias, Version  # isort: skip

__all__ = ["breaks_clients", "promote", "worse_than_alias"]

log = logging.getLogger("mlpatterns")


def promote(engine: Engine, settings: Settings, name: str, number: int) -> None:
    """Moves the alias ``champion`` to a version, if it passes the checks.

    Raises:
        UserError: the version does not pass a check, or the alias was moved meanwhile; the text gives the reason.
    """
    seen = check_release(name, number, DEFAULT_ALIAS, settings)
    with Session(engine) as session:
        worse = worse_than_alias(session, name, number, DEFAULT_ALIAS)
    if worse:
        raise UserError(worse)
    try:
        Writer(engine).run(lambda session: aliases.move(session, name, DEFAULT_ALIAS, number, seen))
    except Conflict as error:
        raise UserError(str(error)) from error


def worse_than_alias(session: Session, name: str, number: int, alias: str) -> str:
    """The reason if the version is far worse than the one that the alias names; else an empty text."""
    before, after = _both(session, name, number, alias)
    if before is None or before.number == number:
        return ""
    return far_below(_measured(session, after), _measured(session, before), name=name, alias=alias)


def breaks_clients(session: Session, name: str, number: int, alias: str, *, root: str) -> str:
    """The reason if the version would break clients of the one that the alias names; else an empty text.

    It is empty too if the files of a version cannot be read from here: then the caller has checked them, or they are in
    another store.
    """
    before, after = _both(session, name, number, alias)
    if before is None or before.number == number:
        return ""
    try:
        old, new = (
            signature_of(root, VersionFiles(each.number, each.artifact.url, each.artifact.manifest_sha256),
                         what=f"{name}:{each.number}")
            for each in (before, after)
        )  # fmt: skip
    except UserError as error:
        log.warning("%s@%s may move to version %d, though the two cannot be compared: %s", name, alias, number, error)
        return ""
    changed = difference(old, new)
    return f"{name}:{number} would break the clients of {name}:{before.number}: {changed}" if changed else ""


def _both(session: Session, name: str, number: int, alias: str) -> tuple[Version | None, Version]:
    """The version that the alias names (or None), and the version `number`."""
    after = versions.by_number(session, name, number)
    named = session.get(Alias, (after.model_id, alias))
    return (None if named is None else versions.by_number(session, name, named.number)), after


def _measured(session: Session, version: Version) -> VersionEvaluation:
    if version.experiment_id is None:
        return VersionEvaluation(version.number, {})
    found = experiments.by_id(session, version.experiment_id)
    return VersionEvaluation(version.number, found.evaluations or {}, found.test_dataset)
