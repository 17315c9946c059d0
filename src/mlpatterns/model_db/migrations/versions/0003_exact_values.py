"""MariaDB compares the values of tags and the URLs of artifacts exactly, as SQLite and PostgreSQL do."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EXACT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"


def upgrade() -> None:
    """Gives the columns a binary collation, because their default collation ignored case and accents."""
    if op.get_bind().dialect.name != "mysql":
        return
    op.execute(f"ALTER TABLE model_tags MODIFY tag_value TEXT {EXACT}")
    op.execute(f"ALTER TABLE version_tags MODIFY tag_value TEXT {EXACT}")
    op.execute(f"ALTER TABLE artifacts MODIFY url VARCHAR(512) {EXACT}")
