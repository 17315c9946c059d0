"""The pictures of the documents: small, whole, and of what the pages show."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from docs.make_pictures import FOLDER, README, drawings, python_block

PICTURES = sorted(FOLDER.iterdir())
SVGS = [path for path in PICTURES if path.suffix == ".svg"]
HTML = """<p><svg role="img" aria-labelledby="a-b-title a-b-desc" viewBox="-2 -2 20 10" width="1rem" height="0.625rem">
<title id="a-b-title">The pieces</title><rect x="0"></rect></svg></p>"""


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_enough_to_be_committed(path: Path) -> None:
    assert 500 < path.stat().st_size < 200_000


@pytest.mark.parametrize("path", SVGS, ids=lambda path: path.name)
def test_a_drawing_stands_alone_and_loads_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert not re.search(r"<script|href=|url\(|@import", text)


def test_a_drawing_is_cut_out_of_a_page_with_its_size_in_pixels() -> None:
    (name, svg), *others = drawings(HTML).items()
    assert (name, others) == ("a-b", [])
    root = ET.fromstring(svg)
    assert (root.get("viewBox"), root.get("width"), root.get("height")) == ("-2 -2 20 10", "20", "10")


def test_the_composed_drawing_is_of_the_readmes_system() -> None:
    """Each piece that the README's system.py names is a box of the drawing."""
    block = python_block(README.read_text(encoding="utf-8"), "system.py")
    (names,) = re.findall(r"from mlpatterns import (.*), serve", block)
    drawn = FOLDER.joinpath("composed.svg").read_text(encoding="utf-8")
    assert [name for name in names.split(", ") if name not in drawn] == []


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no Python block that begins with `# a\.py`"):
        python_block("```python\n# b.py\n```\n", "a.py")
