"""Every system that is built has tests of its own, which break each of its claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.catalog import systems


@pytest.mark.parametrize("name", [system.name for system in systems()])
def test_a_built_system_has_a_test_file_in_which_its_demo_fails(name: str) -> None:
    text = (Path(__file__).parent / f"test_{name}.py").read_text(encoding="utf-8")
    assert "not row.holds" in text
