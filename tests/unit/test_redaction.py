"""No password of a URL is ever shown."""

from __future__ import annotations

import pytest

from mlpatterns.redaction import redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db:5432/models", "postgresql://ann:***@db:5432/models"),
        ("mysql://ann:p@ss@db/models", "mysql://ann:***@db/models"),
        ("postgresql://ann@db/models", "postgresql://ann@db/models"),
        ("postgresql://db/m?user=ann&password=s3cret&x=1", "postgresql://db/m?user=ann&password=***&x=1"),
        ("postgresql://ann:s3/cr@et@db/models", "postgresql://ann:***@db/models"),
        ("postgresql://ann:s3cret@[bad/models", "postgresql://ann:***@[bad/models"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
    ],
)
def test_a_password_is_shown_as_stars_wherever_it_stands(url: str, shown: str) -> None:
    assert redact(url) == shown
