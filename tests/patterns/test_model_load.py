"""model_load: its demo holds, and each claim fails for a server that does not keep it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.patterns.release import model_load

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NEVER_CHANGES = """
from mlpatterns import OnnxModel, serve
app = serve(lambda: OnnxModel("iris_sklearn_svc"))
"""

FAILS_ONCE_A_VERSION_AND_ANSWERS_FROM_THE_FIRST = """
from mlpatterns import HotSwap, Unavailable, Wrapper, serve

class Stubborn(Wrapper):
    seen, first = frozenset({"1"}), None

    async def predict(self, request):
        answer = await self.inner.predict(request)
        if answer.model_version not in self.seen:
            self.seen |= {answer.model_version}
            raise Unavailable("loading")
        self.first = self.first or answer.outputs
        return type(answer)(self.first, answer.model_name, answer.model_version)

app = serve(lambda: Stubborn(HotSwap("iris_sklearn_svc")))
"""


@pytest.fixture
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    return trained_home


def failing(app: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The claims that do not hold for a server of that source."""
    (folder / "broken_model_load.py").write_text(app)
    monkeypatch.setattr(model_load, "TARGET", str(folder / "broken_model_load.py"))
    monkeypatch.setattr(model_load, "PATIENCE", 5.0)
    return [row.claim for row in asyncio.run(model_load.demo(None)).rows if not row.holds]


def test_every_claim_holds_and_the_command_exits_0_whichever_registry_is_set(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPATTERNS_REGISTRY", f"sqlite:///{home}/registry.db")
    assert main(["demo", "model_load"]) == 0
    assert capsys.readouterr().out.endswith("model_load: all 5 claims hold\n")


@pytest.mark.heavy  # four claims wait for what does not come, under load
def test_without_the_piece_nothing_is_promoted_rolled_back_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(NEVER_CHANGES, tmp_path, monkeypatch) == [
        "each answer is that of the version it names",
        "both workers serve it soon",
        "a damaged version is refused, health says so, and the one before serves",
        "one call rolls back both workers",
    ]


def test_a_server_that_fails_at_a_change_or_mixes_versions_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(FAILS_ONCE_A_VERSION_AND_ANSWERS_FROM_THE_FIRST, tmp_path, monkeypatch)[:2] == [
        "the challenger is promoted under load, and no request fails",
        "each answer is that of the version it names",
    ]
