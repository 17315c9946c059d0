"""Commands in an environment whose encoding has few characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# As Python 3.11 runs in a terminal of the C locale without UTF-8 mode, and beside a program that wants ASCII.
ENVIRONMENTS = {
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
}


def run(words: tuple[str, ...], environ: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return subprocess.run(
        [sys.executable, "-m", "mlpatterns", *words], env={**kept, **environ}, capture_output=True, check=False
    )


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=list(ENVIRONMENTS))
def test_what_the_encoding_lacks_is_printed_escaped(environ: dict[str, str]) -> None:
    done = run(("show", "web_single"), environ)
    assert done.returncode == 0, done.stderr.decode()
    assert b"web_single: " in done.stdout
    assert b"\\u30d1\\u30bf\\u30fc\\u30f3" in done.stdout


def test_utf_8_is_printed_as_it_is() -> None:
    assert "パターン".encode() in run(("show", "web_single"), {"PYTHONIOENCODING": "utf-8"}).stdout


def test_the_settings_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    """TOML is UTF-8, and so are the secrets in files: an ASCII locale must not refuse them."""
    (tmp_path / "mlpatterns.toml").write_text('# 日本語\nport = 8123\nroot_path = "/予測"\n', encoding="utf-8")
    (tmp_path / "token").write_text("合言葉", encoding="utf-8")
    done = run(("settings",), {**ENVIRONMENTS["C locale"], "MLPATTERNS_ADMIN_TOKEN_FILE": "token"})
    assert done.returncode == 0, done.stderr.decode()
    assert b"8123" in done.stdout
    assert b"/\\u4e88\\u6e2c" in done.stdout
