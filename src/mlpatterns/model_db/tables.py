"""The tables of the model DB. Migrations make them; this says what they are to the program.

A project has models; a model has experiments and numbered versions; an alias names one version of its model; an
artifact is the folder of a version's files. Ids are opaque text, as the book's are, but long enough never to collide.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, DateTime, ForeignKey, ForeignKeyConstraint, Integer, String, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Alias", "Artifact", "Base", "Experiment", "Model", "Project", "Version", "new_id"]

# MariaDB compares text without case unless told otherwise, and drops microseconds.
NAME = String(128).with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
ID = String(32).with_variant(mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql")
TIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def new_id() -> str:
    """A random id of 32 hex digits."""
    return uuid4().hex


def _now() -> datetime:
    """Now in UTC, without a zone: the one form that all three databases keep alike."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """What the tables have in common."""


class Project(Base):
    """A group of models."""

    __tablename__ = "projects"

    project_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    project_name: Mapped[str] = mapped_column(NAME, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=_now)


class Model(Base):
    """A model; references find it by `model_name`, so names are unique over all projects."""

    __tablename__ = "models"

    model_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ID, ForeignKey("projects.project_id"), index=True)
    model_name: Mapped[str] = mapped_column(NAME, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=_now)


class Experiment(Base):
    """One training run. `model_version_id` is free text, as the book's clients send their own; a run that made a
    version of ours holds that version's id."""

    __tablename__ = "experiments"

    experiment_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(ID, ForeignKey("models.model_id"), index=True)
    model_version_id: Mapped[str] = mapped_column(NAME, index=True)
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    training_dataset: Mapped[str | None] = mapped_column(Text)
    validation_dataset: Mapped[str | None] = mapped_column(Text)
    test_dataset: Mapped[str | None] = mapped_column(Text)
    evaluations: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    artifact_file_paths: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=_now)


class Version(Base):
    """Version `number` of a model, counted from 1 and never used again; `sha256` is that of its model file."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),)

    version_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(ID, ForeignKey("models.model_id"))
    number: Mapped[int] = mapped_column(Integer)
    experiment_id: Mapped[str | None] = mapped_column(ID, ForeignKey("experiments.experiment_id"), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=_now)


class Alias(Base):
    """A name for one version of a model; the key pair makes sure that it is the same model's."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "number"], ["versions.model_id", "versions.number"], name="fk_aliases_version"
        ),
    )

    model_id: Mapped[str] = mapped_column(ID, primary_key=True)
    alias: Mapped[str] = mapped_column(NAME, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    updated_datetime: Mapped[datetime] = mapped_column(TIME, default=_now, onupdate=_now)


class Artifact(Base):
    """The folder of a version: a URL, or one relative to the artifacts' root so that the home can move."""

    __tablename__ = "artifacts"

    version_id: Mapped[str] = mapped_column(ID, ForeignKey("versions.version_id"), primary_key=True)
    url: Mapped[str] = mapped_column(String(512))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
