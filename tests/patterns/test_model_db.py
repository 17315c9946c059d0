"""model_db: its demo holds, and each claim fails for a service that does not keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.patterns.training import model_db

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OWN = """
from mlpatterns.model_db.api import sessions
from mlpatterns.model_db.resources import aliases, deployments, experiments, models, versions
from mlpatterns.model_db.tables import Version
from mlpatterns import ModelDB
from sqlalchemy import func, select
from sqlalchemy.orm import Session

{}
app = ModelDB()
"""

LOSES_A_NUMBER = """
whole = models.next_number
def next_number(session, model_id):
    number = whole(session, model_id)
    return number if number != 50 else whole(session, model_id)
models.next_number = next_number
"""
MOVES_WHATEVER_IT_NAMES = "aliases._compare = lambda found, expected: None"
FORGETS_THE_DATA = "experiments.dataset_digest = lambda dataset: None"
DELETES_WHAT_SERVES = """
def delete(session, name, number):
    found = versions.by_number(session, name, number)
    session.delete(found)
versions.delete = delete
"""
ANSWERS_BEFORE_IT_COMMITS = """
kept = []  # project, model, 100 versions, 11 moves, experiment, version, deployment, deletion: 117 that are kept
whole = sessions.Sessions.write
def write(self, work):
    calls = len(kept)
    kept.append(work)
    if calls < 117:
        return whole(self, work)
    with Session(self._engine, expire_on_commit=False) as session:
        return work(session)
sessions.Sessions.write = write
"""


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "model_db"]) == 0
    assert capsys.readouterr().out.endswith("model_db: all 5 claims hold\n")


# What a service breaks without touching what the other claims are of; to start one takes seconds.
@pytest.mark.parametrize(
    "broken",
    [
        {
            "100 register at once: no gap, no twin": LOSES_A_NUMBER,
            "of 10 who move an alias from where they saw it, one does": MOVES_WHATEVER_IT_NAMES,
            "from the data's digest to the version, to where it serves": FORGETS_THE_DATA,
            "a version that serves is not deleted": DELETES_WHAT_SERVES,
        },
        {"killed amid registrations: all that it answered is there": ANSWERS_BEFORE_IT_COMMITS},
    ],
    ids=["at work", "killed"],
)
def test_just_the_claims_fail_that_a_service_does_not_keep(
    broken: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_model_db.py").write_text(OWN.format("\n".join(broken.values())))
    monkeypatch.setattr(model_db, "TARGET", str(tmp_path / "broken_model_db.py"))
    assert [row.claim for row in model_db.demo(tmp_path / "home").rows if not row.holds] == list(broken)
