"""Tags: values of a model or a version, by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, exists
from sqlalchemy.orm import InstrumentedAttribute

from mlpatterns.errors import NotFound
from mlpatterns.model_db.resources.rows import check_label, check_name
from mlpatterns.model_db.tables import Model, ModelTag, Version, VersionTag

__all__ = ["remove", "set_tag", "tagged"]

Owner = TypeVar("Owner", bound=Model | Version)


def set_tag(owner: Owner, key: str, value: str) -> Owner:
    """Adds a tag to a model or version, or changes its value; returns the model or version.

    Raises:
        InvalidInput: the key or the value is not valid.
    """
    check_name("a tag's key", key)
    check_label("a tag's value", value)
    if key in owner.tagged:
        owner.tagged[key].tag_value = value
    elif isinstance(owner, Model):
        owner.tagged[key] = ModelTag(tag_key=key, tag_value=value)
    else:
        owner.tagged[key] = VersionTag(tag_key=key, tag_value=value)
    return owner


def remove(owner: Model | Version, key: str) -> None:
    """Removes a tag from a model or version."""
    if key not in owner.tagged:
        raise NotFound("there is no tag of this key")
    del owner.tagged[key]


def tagged(
    query: Select[Any],
    owner: InstrumentedAttribute[str],
    tag_owner: InstrumentedAttribute[str],
    table: type[ModelTag] | type[VersionTag],
    tags: Sequence[str],
) -> Select[Any]:
    """`query`, limited to rows that have all of `tags`: ``KEY`` with any value, or ``KEY:VALUE`` with this value.

    Raises:
        InvalidInput: no tag has such a key or value.
    """
    for tag in tags:
        key, separator, value = tag.partition(":")
        check_name("a tag's key", key)
        check_label("a tag's value", value)
        found = exists().where(tag_owner == owner, table.tag_key == key)
        query = query.where(found.where(table.tag_value == value) if separator else found)
    return query
