"""The tables as a diagram: each table is below the one that its foreign key references."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table, UniqueConstraint

from mlpatterns.model_db.tables import Base
from mlpatterns.registry.urls import scheme_of
from mlpatterns.server.pages.diagram_nodes import Node

__all__ = ["drawing"]

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}


def drawing(url: str) -> Node:
    """The diagram of a server, its database and the tables in it.

    Raises:
        UserError: `url` is not a database URL.
    """
    tables = Base.metadata.sorted_tables  # referenced tables come first
    nodes = {table: Node("piece", table.name, (*_names(table), *_details(table, tables)))
             for table in tables if not _is_detail(table)}  # fmt: skip
    database = Node("service", DATABASES[scheme_of(url)])
    for table, node in nodes.items():
        above = [other for other in nodes if _refers(table, other)]
        # The last is the nearest: a version references its model and its experiment, which references the model.
        (nodes[above[-1]] if above else database).children.append(node)
    return Node("server", "server", children=[database])


def _refers(table: Table, other: Table) -> bool:
    return any(key.referred_table is other for key in table.foreign_key_constraints)


def _is_detail(table: Table) -> bool:
    """Whether a foreign key is part of the table's primary key, as in the tables of tags."""
    return any(set(key.columns) <= set(table.primary_key) for key in table.foreign_key_constraints)


def _details(table: Table, tables: list[Table]) -> Iterator[str]:
    names = [other.name for other in tables if _is_detail(other) and _refers(other, table)]
    if names:
        yield f"with {', '.join(names)}"


def _names(table: Table) -> Iterator[str]:
    """The columns that identify a row, without ids."""
    unique = [*table.primary_key, *(column for each in table.constraints if isinstance(each, UniqueConstraint)
                                    for column in each.columns)]  # fmt: skip
    yield from (f"by {column.name}" for column in unique if not column.name.endswith("_id"))
