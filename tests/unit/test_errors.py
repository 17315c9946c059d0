"""Two files of errors, one drawing: the classes, their codes, their sentences."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from mlpatterns import errors, user_errors
from mlpatterns.errors import DeadlineExceeded, ErrorCode, MlpatternsError, NotFound, PredictionError, error_for
from mlpatterns.user_errors import MissingExtra, UnknownName


def drawn() -> dict[str, str]:
    """Each class of the drawing with the class it hangs from."""
    parents: dict[str, str] = {}
    stack: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if not (found := re.match(r"    ([│ ]*)(?:[├└]── )?([A-Z]\w+)(?:  |$)", line)):
            continue
        depth = len(found[1]) // 4 + ("──" in line)
        stack[depth:] = [found[2]]
        parents[found[2]] = stack[depth - 1] if depth else "Exception"
    return parents


def test_the_drawing_at_the_top_shows_exactly_the_classes_and_what_they_inherit() -> None:
    classes = {
        name: thing.__bases__[0].__name__
        for file in (errors, user_errors)
        for name, thing in vars(file).items()
        if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__ == file.__name__
    }
    assert drawn() == classes
    assert {*errors.__all__, *user_errors.__all__} == {*classes, "ErrorCode", "error_for"}


def test_the_drawing_tells_the_code_of_each_prediction_error() -> None:
    for code in ErrorCode:
        assert re.search(rf"{type(error_for(code, '')).__name__} +{code}\b", errors.__doc__ or "")


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_one_error_and_within_a_stage_it_is_the_same_error(code: ErrorCode) -> None:
    error = error_for(code, "the words", retry_after=3.0)
    assert isinstance(error, PredictionError)
    assert error.code is code
    inner = error.within("model").within("pipeline")
    assert type(inner) is type(error)
    assert (inner.code, inner.message, inner.retry_after) == (code, "the words", 3.0)
    assert inner.stages == ("pipeline", "model")
    assert str(inner) == "stage 'pipeline/model': the words"
    assert error.stages == ()
    assert str(error) == "the words"


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_prediction_error_survives_a_copy(again: object) -> None:
    error = NotFound("the words", retry_after=3.0).within("model")
    made = again(error)  # type: ignore[operator]
    assert (type(made), str(made), made.retry_after) == (NotFound, str(error), 3.0)


def test_an_error_about_a_part_of_a_request_is_the_same_error_with_the_part_in_its_sentence() -> None:
    error = NotFound("the words", retry_after=3.0)
    made = error.about("row 2 of 3").within("model")
    assert (type(made), str(made), made.retry_after) == (NotFound, "stage 'model': row 2 of 3: the words", 3.0)
    assert str(error) == "the words"


def test_what_was_added_to_an_error_stays_within_a_stage() -> None:
    error = NotFound("the words")
    error.hint = "more"  # type: ignore[attr-defined]
    assert error.within("model").hint == "more"  # type: ignore[attr-defined]


def test_a_deadline_needs_no_words() -> None:
    assert "deadline passed" in str(DeadlineExceeded())


@pytest.mark.parametrize(
    ("name", "known", "hint", "text"),
    [
        (
            "web_singel",
            ["web_single", "batch"],
            "",
            "there is no pattern 'web_singel'; did you mean 'web_single'? There is batch, web_single",
        ),
        ("zzz", ["b", "a"], "", "there is no pattern 'zzz'; there is a, b"),
        ("zzz", [], "", "there is no pattern 'zzz'"),
        ("zzz", [], "run `x`", "there is no pattern 'zzz'; run `x`"),
        ("ab", ["abc"], "run `x`", "there is no pattern 'ab'; did you mean 'abc'? run `x`"),
        ("zzz", [f"n{i}" for i in range(31)], "", "there is no pattern 'zzz'"),
    ],
)
def test_an_unknown_name_suggests_the_nearest_or_lists_what_there_is(
    name: str, known: list[str], hint: str, text: str
) -> None:
    assert str(UnknownName("pattern", name, known, hint)) == text


def test_a_missing_extra_says_what_to_install() -> None:
    assert str(MissingExtra("gRPC", "grpc")) == "gRPC needs an extra: pip install 'mlpatterns[grpc]'"


def test_everything_is_caught_by_the_root() -> None:
    raised = [getattr(errors, name) for name in errors.__all__ if name not in ("ErrorCode", "error_for")]
    assert all(issubclass(kind, MlpatternsError) for kind in raised)
