"""The model DB: projects, models, experiments, versions, aliases, artifacts.

A migration describes the tables of its time, so it never imports `tables.py`, which changes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(128).with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
ID = sa.String(32).with_variant(mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def _table(name: str, *columns: Any) -> None:
    op.create_table(name, *columns, mysql_engine="InnoDB", mysql_default_charset="utf8mb4")


def upgrade() -> None:
    """Creates the tables, referenced tables first."""
    _groups()
    _experiments()
    _versions()


def _groups() -> None:
    _table(
        "projects",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("project_name", NAME, nullable=False, unique=True),
        sa.Column("description", sa.Text()),
        sa.Column("created_datetime", TIME, nullable=False),
    )
    _table(
        "models",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("project_id", ID, sa.ForeignKey("projects.project_id"), nullable=False),
        sa.Column("model_name", NAME, nullable=False, unique=True),
        sa.Column("description", sa.Text()),
        sa.Column("created_datetime", TIME, nullable=False),
    )
    op.create_index("ix_models_project_id", "models", ["project_id"])


def _experiments() -> None:
    _table(
        "experiments",
        sa.Column("experiment_id", ID, primary_key=True),
        sa.Column("model_id", ID, sa.ForeignKey("models.model_id"), nullable=False),
        sa.Column("model_version_id", NAME, nullable=False),
        sa.Column("parameters", sa.JSON()),
        sa.Column("training_dataset", sa.Text()),
        sa.Column("validation_dataset", sa.Text()),
        sa.Column("test_dataset", sa.Text()),
        sa.Column("evaluations", sa.JSON()),
        sa.Column("artifact_file_paths", sa.JSON()),
        sa.Column("created_datetime", TIME, nullable=False),
    )
    op.create_index("ix_experiments_model_id", "experiments", ["model_id"])
    op.create_index("ix_experiments_model_version_id", "experiments", ["model_version_id"])


def _versions() -> None:
    _table(
        "versions",
        sa.Column("version_id", ID, primary_key=True),
        sa.Column("model_id", ID, sa.ForeignKey("models.model_id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("experiment_id", ID, sa.ForeignKey("experiments.experiment_id"), unique=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_datetime", TIME, nullable=False),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
    )
    _table(
        "aliases",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("alias", NAME, primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("updated_datetime", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id", "number"], ["versions.model_id", "versions.number"], name="fk_aliases_version"
        ),
    )
    _table(
        "artifacts",
        sa.Column("version_id", ID, sa.ForeignKey("versions.version_id"), primary_key=True),
        sa.Column("url", sa.String(512), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
    )
