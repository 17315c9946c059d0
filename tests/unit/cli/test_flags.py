"""Flags reach this process and those that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlpatterns.cli.flags import apply_flags
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import SettingsError


def test_flags_are_settings_here_and_in_the_environment_of_workers() -> None:
    flags = {"port": 9001, "access_log": True, "labels": Path("a.txt"), "api_keys": "ann=k1,bob=k2", "host": None}
    settings = apply_flags(flags)
    assert (settings.port, settings.access_log, settings.labels) == (9001, True, Path("a.txt"))
    assert settings.api_keys == {"ann": "k1", "bob": "k2"}
    assert load_settings({}, folder=Path("nowhere")).settings == settings
    assert "MLPATTERNS_HOST" not in os.environ


def test_a_flag_wins_over_environment_and_mounted_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("ann=old")
    monkeypatch.setenv("MLPATTERNS_API_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("MLPATTERNS_PORT", "1")
    settings = apply_flags({"api_keys": "ann=new", "port": 2})
    assert (settings.api_keys, settings.port) == ({"ann": "new"}, 2)
    assert load_settings().settings == settings


def test_a_flag_that_is_not_right_changes_nothing() -> None:
    with pytest.raises(SettingsError):
        apply_flags({"port": -1})
    assert "MLPATTERNS_PORT" not in os.environ
