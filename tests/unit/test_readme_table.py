"""The READMEs and the guides: the generated table, the same code in both languages, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.readme_table import readmes, table

from mlpatterns.catalog import systems
from mlpatterns.settings import Settings

REPOSITORY = Path(__file__).parents[2]
READMES = ("README.md", "README.ja.md")
GUIDES = ("docs/guide.md", "docs/guide.ja.md")
DOCS = sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("docs/**/*.md"))
PAGES = (*READMES, "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md", *DOCS)
BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def read(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", READMES)
def test_the_table_of_systems_is_what_the_catalogue_has(page: str) -> None:
    assert read(page) == readmes()[REPOSITORY / page], "run `python -m docs.make_patterns`"


@pytest.mark.parametrize("japanese", [False, True])
def test_the_table_has_a_row_a_system_with_its_page_its_code_and_its_pieces(japanese: bool) -> None:
    rows = table(japanese=japanese).splitlines()[2:]
    assert len(rows) == len(systems())
    web_single = next(row for row in rows if "[`web_single`](docs/patterns/web_single.md)" in row)
    assert "(src/mlpatterns/patterns/serving/web_single.py)" in web_single
    assert "`OnnxModel`" in web_single
    assert all("](docs/patterns/" in row and "](src/mlpatterns/patterns/" in row for row in rows)


@pytest.mark.parametrize("pages", [READMES, GUIDES])
def test_both_languages_have_the_same_code_in_the_same_order(pages: tuple[str, str]) -> None:
    english, japanese = (BLOCK.findall(read(page)) for page in pages)
    assert english == japanese
    assert len(english) > 10


@pytest.mark.parametrize("page", READMES)
def test_a_readme_is_short_enough_to_be_read(page: str) -> None:
    assert len(read(page).splitlines()) < 200


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_to_one(page: str) -> None:
    folder = (REPOSITORY / page).parent
    broken = [link for link in LINK.findall(read(page)) if "://" not in link and not (folder / link).exists()]
    assert broken == []


def test_the_operations_page_names_every_setting_and_every_metric() -> None:
    page = read("docs/operations.md")
    settings = {f"`{name}`" for name in Settings.__struct_fields__}
    source = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    metrics = {f"`{name}`" for name in re.findall(r"(?:counter|gauge|histogram)\(\s*\"(mlpatterns_\w+)\"", source)}
    assert len(metrics) > 5
    assert sorted(name for name in settings | metrics if name not in page) == []
