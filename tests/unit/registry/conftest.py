"""The model DB's small registered model, for those who look it up."""

from __future__ import annotations

from unit.model_db.conftest import entry, url

__all__ = ["entry", "url"]
