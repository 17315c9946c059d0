"""Registry URLs: what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.model_db.database import engine
from mlpatterns.registry.urls import scheme_of, sqlite_file
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UserError


@pytest.mark.parametrize("url", ["oracle://db", "registry.db", "sqlite", "ftp://ann:s3cret@db"])
def test_another_kind_of_database_is_refused_with_the_kinds_there_are(url: str) -> None:
    with pytest.raises(UserError, match=r"write sqlite:///FILE, postgresql://…, mysql://… or a service") as caught:
        scheme_of(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_registry_in_memory_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="would be lost at once"):
        sqlite_file(url)


def test_the_file_of_a_url_is_relative_with_three_slashes_and_absolute_with_four(tmp_path: Path) -> None:
    assert sqlite_file("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_file(Settings(home=tmp_path).registry_url) == tmp_path / "registry.db"
    assert sqlite_file("mysql://root@db/models") is None


def test_a_malformed_port_is_a_sentence_without_the_password() -> None:
    with pytest.raises(UserError) as caught:
        engine("postgresql://ann:s3cret@db:port/models")
    assert "is not a database URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)
