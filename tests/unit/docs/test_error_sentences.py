"""docs/troubleshooting.md explains sentences that the source has, all classes of errors, and all codes."""

from __future__ import annotations

import inspect
import re

import pytest
from docs.error_sentences import PAGE, lost, nearest, on_page, sentences

import mlpatterns.errors
import mlpatterns.user_errors
from mlpatterns.errors import ErrorCode, MlpatternsError, PredictionError
from mlpatterns.oip.status import grpc_status, http_status

TEXT = PAGE.read_text(encoding="utf-8")
CLASSES = [
    kind
    for kind in (*vars(mlpatterns.errors).values(), *vars(mlpatterns.user_errors).values())
    if inspect.isclass(kind) and issubclass(kind, MlpatternsError)
]


def test_every_sentence_is_one_of_the_source() -> None:
    assert {sentence: nearest(sentence) for sentence in lost(TEXT)} == {}
    assert len(on_page(TEXT)) > 100


def test_no_sentence_is_explained_twice() -> None:
    assert len(set(on_page(TEXT))) == len(on_page(TEXT))


def test_every_entry_is_read() -> None:
    """An entry whose form is not right would be checked by nobody."""
    assert len(on_page(TEXT)) == len(re.findall(r"^- ", TEXT, re.MULTILINE))


@pytest.mark.parametrize(
    "sentence",
    [
        "port … is taken; stop what listens there",
        "nothing says this at all",
        "data[…] has … values, expected … (…) or so",
    ],
)
def test_a_sentence_that_nobody_says_is_lost(sentence: str) -> None:
    assert lost(f"- `{sentence}`: why.") == [sentence]


def test_a_sentence_of_which_the_source_says_more_is_found_by_its_beginning() -> None:
    assert lost("- `port … is taken; stop the program …`: why.") == []


def test_the_nearest_text_is_the_one_that_was_reworded() -> None:
    said = "port … is in use; stop what listens there, or choose another with …"
    assert nearest(said) == "port … is taken; stop the program that listens there, or choose another port with …"


def test_the_source_is_read_with_what_is_put_in_left_open() -> None:
    assert "data must hold at least one row" in sentences()
    assert "port … is taken; stop the program that listens there, or choose another port with …" in sentences()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_of_errors_is_on_the_page(kind: type[MlpatternsError]) -> None:
    assert re.search(rf"^\|.*`{kind.__name__}`", TEXT, re.MULTILINE)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_is_on_the_page_with_what_answers_it(code: ErrorCode) -> None:
    (name,) = (kind.__name__ for kind in PredictionError.__subclasses__() if kind.code is code)
    assert f"| `{code}` | `{name}` | {http_status(code)} | `{grpc_status(code)}` |" in TEXT
