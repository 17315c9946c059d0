"""The README as a package index shows it: there, links that lead from file to file lead nowhere.

A metadata hook of hatchling, which pyproject.toml names: a link to a file of the repository becomes its address on the
site of the repository, and so does a picture.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["PackagePage", "with_addresses"]

REPOSITORY = "https://github.com/mlpatterns/mlpatterns"
LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?://|#|mailto:)([^)\s]+\))")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


class PackagePage(MetadataHookInterface):
    """Gives a distribution the README as its description."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text)}


def with_addresses(markdown: str) -> str:
    """A page of the root of the repository, with links and pictures by their addresses; code is left alone."""
    parts = FENCE.split(markdown)
    return "".join(part if number % 2 else LINK.sub(_addressed, part) for number, part in enumerate(parts))


def _addressed(found: re.Match[str]) -> str:
    picture, begin, path = found.groups()
    return f"{picture}{begin}{REPOSITORY}/{'raw' if picture else 'blob'}/main/{path}"
