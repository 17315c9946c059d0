"""The tables of the model DB, as SQLAlchemy classes. Migrations create the tables.

A project has models; a model has experiments and numbered versions; an alias names one version of its model; an
artifact is the folder of a version's files; a deployment is where a version serves or served. Models and versions have
tags. Ids are opaque random texts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, DateTime, ForeignKey, ForeignKeyConstraint, Integer, String, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, attribute_keyed_dict, mapped_column, relationship

__all__ = [
    "Alias", "Artifact", "Base", "Deployment", "Experiment", "Model", "ModelTag", "Project", "Version", "VersionTag",
    "new_id", "now",
]  # fmt: skip

# By default MariaDB ignores case when it compares text, and drops microseconds.
NAME = String(128).with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
VALUE = Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
URL = String(512).with_variant(mysql.VARCHAR(512, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
ID = String(32).with_variant(mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql")
TIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def new_id() -> str:
    """A random id of 32 hex digits."""
    return uuid4().hex


def now() -> datetime:
    """The current time in UTC, without a time zone: only this form is stored identically by all three databases."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """The base class of all tables."""


class Project(Base):
    """A group of models."""

    __tablename__ = "projects"

    project_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    project_name: Mapped[str] = mapped_column(NAME, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=now)


class Model(Base):
    """A model. References find it by `model_name`, so names are unique over all projects. `last_number` is the number
    of the last version that was added, even if that version was deleted."""

    __tablename__ = "models"

    model_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ID, ForeignKey("projects.project_id"), index=True)
    model_name: Mapped[str] = mapped_column(NAME, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    last_number: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=now)
    tagged: Mapped[dict[str, ModelTag]] = relationship(
        collection_class=attribute_keyed_dict("tag_key"), cascade="all, delete-orphan", lazy="selectin"
    )

    @property
    def tags(self) -> dict[str, str]:
        return {key: tag.tag_value for key, tag in self.tagged.items()}


class Experiment(Base):
    """One training run. `model_version_id` is free text, because the clients of the book send their own; for a run that
    made a registered version, it is that version's id. `dataset_sha256` is the digest in `training_dataset`, if any."""

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
    dataset_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=now)


class Version(Base):
    """Version `number` of a model. Numbers begin at 1 and are never reused. `sha256` is the digest of the model."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),)

    version_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(ID, ForeignKey("models.model_id"))
    number: Mapped[int] = mapped_column(Integer)
    experiment_id: Mapped[str | None] = mapped_column(ID, ForeignKey("experiments.experiment_id"), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=now)
    model: Mapped[Model] = relationship(lazy="joined", innerjoin=True)
    artifact: Mapped[Artifact] = relationship(cascade="all, delete-orphan", lazy="joined", innerjoin=True)
    named: Mapped[list[Alias]] = relationship(viewonly=True, lazy="selectin")
    deployments: Mapped[list[Deployment]] = relationship(
        cascade="all, delete-orphan", order_by="Deployment.created_datetime, Deployment.deployment_id"
    )
    tagged: Mapped[dict[str, VersionTag]] = relationship(
        collection_class=attribute_keyed_dict("tag_key"), cascade="all, delete-orphan", lazy="selectin"
    )

    @property
    def model_name(self) -> str:
        return self.model.model_name

    @property
    def artifact_url(self) -> str:
        return self.artifact.url

    @property
    def manifest_sha256(self) -> str:
        return self.artifact.manifest_sha256

    @property
    def aliases(self) -> list[str]:
        return sorted(alias.alias for alias in self.named)

    @property
    def tags(self) -> dict[str, str]:
        return {key: tag.tag_value for key, tag in self.tagged.items()}


class Alias(Base):
    """A name for one version of a model. The composite foreign key ensures that the version is of the same model."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "number"], ["versions.model_id", "versions.number"], name="fk_aliases_version"
        ),
    )

    model_id: Mapped[str] = mapped_column(ID, primary_key=True)
    alias: Mapped[str] = mapped_column(NAME, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    updated_datetime: Mapped[datetime] = mapped_column(TIME, default=now, onupdate=now)


class Artifact(Base):
    """The folder of a version. `url` is absolute, or relative to the artifacts' root, so that the root can move."""

    __tablename__ = "artifacts"

    version_id: Mapped[str] = mapped_column(ID, ForeignKey("versions.version_id"), primary_key=True)
    url: Mapped[str] = mapped_column(URL)
    manifest_sha256: Mapped[str] = mapped_column(String(64))


class ModelTag(Base):
    """A tag of a model, by its key."""

    __tablename__ = "model_tags"

    model_id: Mapped[str] = mapped_column(ID, ForeignKey("models.model_id"), primary_key=True)
    tag_key: Mapped[str] = mapped_column(NAME, primary_key=True)
    tag_value: Mapped[str] = mapped_column(VALUE)


class VersionTag(Base):
    """A tag of a version, by its key."""

    __tablename__ = "version_tags"

    version_id: Mapped[str] = mapped_column(ID, ForeignKey("versions.version_id"), primary_key=True)
    tag_key: Mapped[str] = mapped_column(NAME, primary_key=True)
    tag_value: Mapped[str] = mapped_column(VALUE)


class Deployment(Base):
    """A place where a version serves, with a name that the operator chose, until its end is recorded."""

    __tablename__ = "deployments"

    deployment_id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    version_id: Mapped[str] = mapped_column(ID, ForeignKey("versions.version_id"), index=True)
    deployment_name: Mapped[str] = mapped_column(NAME)
    created_datetime: Mapped[datetime] = mapped_column(TIME, default=now)
    ended_datetime: Mapped[datetime | None] = mapped_column(TIME)
