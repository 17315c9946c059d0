"""A name that `run` is given: a pattern's first, then a registered model's; else the nearest of both is suggested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlpatterns.launch.resolve import resolve_name
from mlpatterns.launch.target import load_target, registered_models, source_of
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.database import DatabaseConnection
from mlpatterns.server.app import App
from mlpatterns.user_errors import NotOffered, RegistryDown, SettingsError, UnknownName, WrongUse
from releases import NAME, Releases


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """Version 1 of the model `times` is its champion; the settings are of that home."""
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    monkeypatch.delenv("MLPATTERNS_REGISTRY", raising=False)
    made = Releases(tmp_path)
    made.publish(10.0)
    return made


def served(target: str) -> App:
    app = load_target(target)
    assert isinstance(app, App)
    return app


@pytest.mark.parametrize(
    ("target", "reference"),
    [
        (NAME, RegisteredReference(NAME)),
        (f"{NAME}@champion", RegisteredReference(NAME)),
        (f"{NAME}:1", RegisteredReference(NAME, version=1)),
    ],
)
def test_a_registered_model_is_served(releases: Releases, target: str, reference: RegisteredReference) -> None:
    assert list(registered_models(served(target))) == [reference]
    assert source_of(target) == target


def test_it_is_asked_in_batches_where_that_is_set_as_a_file_is(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPATTERNS_BATCHING", "true")
    assert isinstance(served(NAME).build(), Batcher)


def test_a_model_and_another_model_are_too_many(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_MODEL", "other")
    with pytest.raises(SettingsError, match="--model and times name two models"):
        load_target(NAME)


def test_a_pattern_wins_over_a_model_of_its_name_and_asks_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseConnection, "find", down)
    assert not isinstance(resolve_name("web_single"), RegisteredReference)


def test_of_a_training_the_model_is_served_that_it_made(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotOffered, match="iris_sklearn_svc has no app"):
        load_target("iris_sklearn_svc")
    found: list[Any] = []
    monkeypatch.setattr(DatabaseConnection, "find", lambda _, reference: found.append(reference))
    assert resolve_name("iris_sklearn_svc") == RegisteredReference("iris_sklearn_svc")
    assert found == [RegisteredReference("iris_sklearn_svc")]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tiems", "no pattern or registered model 'tiems'; did you mean the model 'times'?"),
        ("web_singel", "no pattern or registered model 'web_singel'; did you mean 'web_single'?"),
        ("zzzz", "no pattern or registered model 'zzzz'; `mlpatterns list` shows the patterns, `mlpatterns registry"),
        (f"{NAME}@champoin", "no model alias 'times@champoin'; did you mean 'times@champion'?"),
        (f"{NAME}:9", "no model version 'times:9'; its latest is 1"),
        ("web single!", "there is no pattern 'web single!'; did you mean 'web_single'?"),
    ],
)
def test_what_is_neither_suggests_the_nearest(releases: Releases, target: str, said: str) -> None:
    with pytest.raises(UnknownName) as caught:
        load_target(target)
    assert said in str(caught.value)


@pytest.mark.parametrize("target", [f"{NAME}:abc", f"{NAME}@", "web_single:app", f"{NAME}:0"])
def test_what_is_no_reference_is_told_how_one_is_written(target: str) -> None:
    with pytest.raises(WrongUse, match=r"cannot be served; write .*NAME:VERSION, FILE\.py:APP"):
        load_target(target)


def test_without_a_registry_nothing_is_made_by_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path / "home"))
    with pytest.raises(UnknownName, match="no pattern or registered model"):
        load_target("tiems")
    assert not (tmp_path / "home").exists()


def test_with_the_registry_down_it_is_said_that_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseConnection, "find", down)
    with pytest.raises(RegistryDown, match=r"'times' is not a pattern .* is unknown: the registry is gone"):
        load_target(NAME)


def down(*_: Any) -> Any:
    raise RegistryDown("the registry is gone")
