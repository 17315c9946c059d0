"""docs/reference.md is what its generator makes, says all there is, and its examples run as they are shown."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from docs.docstrings import arguments, described, first_sentence, signature
from docs.make_reference import PAGE, examples, public, reference
from docs.public_names import GROUPS, STUB, names_of, stub

import mlpatterns
import mlpatterns.testing
from mlpatterns import MlpatternsError, train
from mlpatterns.context import NOTHING
from mlpatterns.edge.engine import FILES, PACKAGE, VERSION
from mlpatterns.metadata import Array

NAMES = [name for group in GROUPS for name in names_of(group)]
EXAMPLES = examples()
SLOW = ("OnnxModel", "RegistryClient", "ServerProcess", "Report")  # training; FastAPI; two start processes
HEAVY = ("build_context",)  # it builds a wheel
CONSTRUCTED = [name for name in NAMES if name != "Array" and not getattr(public(name), "_is_protocol", False)]


def is_error(name: str) -> bool:
    return inspect.isclass(public(name)) and issubclass(public(name), MlpatternsError)


def test_the_page_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `python -m docs.make_reference`"


def test_the_stub_has_the_names_that_the_groups_list() -> None:
    assert STUB.read_text(encoding="utf-8") == stub(), "run `python -m docs.make_reference`"


def test_every_public_name_is_in_one_group() -> None:
    everything = {*mlpatterns.__all__, *mlpatterns.testing.__all__} - {"__version__"}
    assert sorted(NAMES) == sorted(everything)


def test_every_public_class_has_an_example() -> None:
    classes = [name for name in NAMES if name != "Array" and inspect.isclass(public(name)) and not is_error(name)]
    assert [name for name in classes if name not in EXAMPLES] == []
    assert "MlpatternsError" in EXAMPLES


@pytest.mark.parametrize("name", [name for name in CONSTRUCTED if not is_error(name) and name != "ErrorCode"])
def test_every_argument_has_a_sentence(name: str) -> None:
    assert [each.name for each in arguments(public(name)) if not each.meaning] == []


def test_an_example_imports_public_names_alone() -> None:
    used = [
        (name, node.module)
        for name, example in EXAMPLES.items()
        for node in ast.walk(compile(example, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlpatterns.")
    ]
    assert [each for each in used if each[1] != "mlpatterns.testing"] == []


def test_a_docstring_is_taken_apart() -> None:
    told = described("""One sentence. Another.

    Args:
        mean, std: taken from,
            then divided.

    Returns:
        What comes: of it.

    Raises:
        NotFound, Conflict: as it is.
    """)
    assert told.prose == "One sentence. Another."
    assert told.meanings() == {"mean": "taken from, then divided.", "std": "taken from, then divided."}
    assert told.sections["Returns"] == {"": "What comes: of it."}
    assert told.sections["Raises"] == {"NotFound, Conflict": "as it is."}
    assert first_sentence("It waits 0.5 s, e.g. for `x`. Then it ends.") == "It waits 0.5 s, e.g. for `x`."


def test_types_defaults_and_signatures_are_shown_as_they_are_written() -> None:
    def shown(a: Literal["x", "y"], *b: int | None, c: Mapping[str, Array] = NOTHING, d: Path = Path("e")) -> None:
        """f.

        Args:
            b: more.
        """

    assert signature(shown) == "(a, *b, c, d)"
    assert [(each.name, each.type, each.default, each.meaning) for each in arguments(shown)] == [
        ("a", '"x" | "y"', None, ""),
        ("*b", "int | None", None, "more."),
        ("c", "Mapping[str, Array]", "{}", ""),
        ("d", "Path", 'Path("e")', ""),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page's first words describe. A site copies the engine's files and does not read them."""
    folder = tmp_path_factory.mktemp("trained")
    engine = folder / ".mlpatterns" / "edge" / f"{PACKAGE}-{VERSION}"
    engine.mkdir(parents=True)
    for name in FILES:
        (engine / name).write_bytes(b"")
    for name in ("iris_sklearn_svc", "digits_fast"):
        train(name, home=folder / ".mlpatterns")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(EXAMPLES["export"])
    return folder


def marked(name: str) -> Any:
    if name in HEAVY:
        return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.heavy])
    return pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name


# A class and the function that makes one are spelt alike and share one example.
@pytest.mark.parametrize("name", [marked(name) for name in {text: name for name, text in EXAMPLES.items()}.values()])
def test_the_example_runs_as_it_is_shown(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    for variable in [each for each in os.environ if each.startswith("MLPATTERNS_")]:
        monkeypatch.delenv(variable)
    run(EXAMPLES[name])


def run(example: str) -> None:
    """As Python's own asyncio prompt does: `await` may stand outside of a function."""
    code = compile(example, "the example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {"__name__": "__main__"}
    waiting = eval(code, names)  # the code is ours
    if inspect.iscoroutine(waiting):
        asyncio.run(asyncio.wait_for(waiting, 30))
