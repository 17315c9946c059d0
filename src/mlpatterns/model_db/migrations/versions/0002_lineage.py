"""Lineage: the dataset digest of an experiment, deployments and tags; and the last version number of a model."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.String(128).with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
ID = sa.String(32).with_variant(mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})\b")


def _table(name: str, *columns: Any) -> None:
    op.create_table(name, *columns, mysql_engine="InnoDB", mysql_default_charset="utf8mb4")


def upgrade() -> None:
    """Adds the columns and fills them from existing rows, then creates the tables."""
    op.add_column("models", sa.Column("last_number", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE models SET last_number ="
        " (SELECT COALESCE(MAX(v.number), 0) FROM versions v WHERE v.model_id = models.model_id)"
    )
    op.add_column("experiments", sa.Column("dataset_sha256", sa.String(64)))
    _fill_digests()
    op.create_index("ix_experiments_dataset_sha256", "experiments", ["dataset_sha256"])
    _tags("model_tags", "model_id", "models")
    _tags("version_tags", "version_id", "versions")
    _table(
        "deployments",
        sa.Column("deployment_id", ID, primary_key=True),
        sa.Column("version_id", ID, sa.ForeignKey("versions.version_id"), nullable=False),
        sa.Column("deployment_name", NAME, nullable=False),
        sa.Column("created_datetime", TIME, nullable=False),
        sa.Column("ended_datetime", TIME),
    )
    op.create_index("ix_deployments_version_id", "deployments", ["version_id"])


def _fill_digests() -> None:
    connection = op.get_bind()
    for experiment_id, dataset in list(
        connection.execute(sa.text("SELECT experiment_id, training_dataset FROM experiments"))
    ):
        found = DIGEST.search(dataset or "")
        if found:
            connection.execute(
                sa.text("UPDATE experiments SET dataset_sha256 = :digest WHERE experiment_id = :id"),
                {"digest": found[1], "id": experiment_id},
            )


def _tags(name: str, owner: str, table: str) -> None:
    _table(
        name,
        sa.Column(owner, ID, sa.ForeignKey(f"{table}.{owner}"), primary_key=True),
        sa.Column("tag_key", NAME, primary_key=True),
        sa.Column("tag_value", sa.Text(), nullable=False),
    )
