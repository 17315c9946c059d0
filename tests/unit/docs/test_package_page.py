"""The README on the page of a package: no link and no picture is relative there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")

from docs.package_page import REPOSITORY, PackagePage, with_addresses

ROOT = Path(__file__).parents[3]


def test_every_link_and_picture_of_the_readme_has_an_address() -> None:
    metadata: dict[str, dict[str, str]] = {}
    PackagePage(str(ROOT), {}).update(metadata)
    text = re.sub(r"^```.*?^```$", "", metadata["readme"]["text"], flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 30
    assert [link for link in links if not link.startswith(("https://", "http://127.0.0.1", "#"))] == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[a](docs/a.md#b)", f"[a]({REPOSITORY}/blob/main/docs/a.md#b)"),
        ("![a](docs/a.png)", f"![a]({REPOSITORY}/raw/main/docs/a.png)"),
        ("[a](https://b.example/c)", "[a](https://b.example/c)"),
        ("[a](#b)", "[a](#b)"),
        ("```sh\n[a](b)\n```", "```sh\n[a](b)\n```"),
    ],
)
def test_what_has_no_address_gets_one(written: str, shown: str) -> None:
    assert with_addresses(written) == shown
