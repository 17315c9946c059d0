"""`mlpatterns demo`: what it measures depends on the models of the home, and on no other store of the user."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from mlpatterns import Evidence, Row
from mlpatterns.catalog import require, systems
from mlpatterns.cli import demo
from mlpatterns.settings import Settings, load_settings, service_url

FORBIDDING = {"API_KEYS": "ann=k", "PROGRAMS": "off", "SERVICE_PRED_URL": "http://127.0.0.1:1", "MAX_BODY_BYTES": "1"}
STORES = ("control_url", "jobs_url", "log_url", "monitor_url", "batch_url", "cache")
SERVING = [system.name for system in systems() if system.header.group != "training"]


@pytest.mark.parametrize("name", SERVING)
def test_a_demo_has_no_store_of_the_users_but_that_of_the_models(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that the environment, mlpatterns.toml or a file with a secret names is no exception."""
    Path("mlpatterns.toml").write_text('jobs = "postgresql://nobody@127.0.0.1:1/jobs"\ncache = "redis://127.0.0.1:1"\n')
    Path("secret").write_text("postgresql://nobody:secret@127.0.0.1:1/log")
    monkeypatch.setenv("MLPATTERNS_CONTROL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("MLPATTERNS_LOG_FILE", "secret")
    monkeypatch.setenv("MLPATTERNS_HOME", "home")
    before, inside = load_settings().settings, []

    async def looked(_: object) -> Evidence:
        inside.append(load_settings().settings)
        return Evidence(name, (Row("claim", "bound", "measured", True),))

    monkeypatch.setattr(demo, "_of_serving", looked)
    monkeypatch.setattr("mlpatterns.cli.missing.train_missing", lambda *_: None)
    assert demo.command(name) == 0

    (own,) = inside
    assert not {getattr(own, store) for store in STORES} & {getattr(before, store) for store in STORES}
    assert (own.home, own.registry_url, own.artifacts_url) == (home, before.registry_url, before.artifacts_url)
    assert load_settings().settings == before
    assert not home.exists()  # it may be read-only


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_demo_has_the_default_settings(where: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings for the user's own servers, such as API keys, would refuse what a demo asks."""
    monkeypatch.setenv("MLPATTERNS_REGISTRY", "sqlite:///elsewhere/registry.db")
    if where == "environment":
        for name, value in FORBIDDING.items():
            monkeypatch.setenv(f"MLPATTERNS_{name}", value)
    else:
        Path("mlpatterns.toml").write_text('programs = "off"\nmax_body_bytes = 1\n[api_keys]\nann = "k"\n')
    monkeypatch.setenv("MLPATTERNS_HOME", "home")  # relative to the folder in which the command was given
    inside: list[Settings] = []
    trained: list[Path] = []

    async def looked(_: object) -> Evidence:
        inside.append(load_settings().settings)
        assert service_url("pred") is None
        return Evidence("web_single", (Row("claim", "bound", "measured", True),))

    monkeypatch.setattr(demo, "_of_serving", looked)
    monkeypatch.setattr("mlpatterns.cli.missing.train_missing", lambda _, given: trained.append(given.home))
    before, folder = load_settings().settings, Path.cwd()
    assert demo.command("web_single") == 0
    (own,) = inside
    assert trained == [home]
    assert (own.home, own.registry, own.artifacts) == (home, before.registry_url, before.artifacts_url)
    assert (own.api_keys, own.programs, own.max_body_bytes) == ({}, None, Settings().max_body_bytes)
    assert (load_settings().settings, Path.cwd()) == (before, folder)


@pytest.mark.parametrize("name", [system.name for system in systems() if system.header.group == "training"])
def test_the_demo_of_a_training_has_a_registry_of_its_own(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the settings may be the one in production, and must neither get its models nor lose its champion."""
    monkeypatch.setenv("MLPATTERNS_REGISTRY", "postgresql://nobody@127.0.0.1:1/models")
    Path("mlpatterns.toml").write_text('artifacts = "s3://production/models"\n[api_keys]\nann = "k"\n')
    inside: list[Settings] = []

    def looked(own: Path) -> Evidence:
        inside.append(load_settings().settings)
        assert inside[0].home == own
        return Evidence(name, (Row("claim", "bound", "measured", True),))

    monkeypatch.setattr(import_module(require(name, "demo").module), "demo", looked)
    assert demo.command(name) == 0
    (own,) = inside
    assert own.home.parent == home
    assert (own.registry, own.artifacts, own.api_keys) == (None, None, {})
    assert not list(home.iterdir())
