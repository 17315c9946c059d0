"""An alias over HTTP does not move to what would break clients or is far worse, unless that is forced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from mlpatterns.model_db.register import Registration, register
from mlpatterns.registry.files import dump_metadata
from mlpatterns.settings import Settings
from unit.model_db.api.conftest import API, TOKEN, Ask, get
from unit.model_db.conftest import CONTENT, metadata

ALIAS = f"{API}/models/name/shapes/aliases"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With three versions: the champion, one of other labels, and one that is far worse."""
    described = metadata()
    for labels, accuracy in ((("a", "b"), 0.96), (("b", "a"), 0.96), (("a", "b"), 0.5)):
        files = {"model.onnx": CONTENT, "metadata.json": dump_metadata(replace(described, labels=labels))}
        entry = Registration("shapes", files, evaluations={"accuracy": accuracy}, test_dataset="100 rows of shapes")
        register(entry, Settings(home=tmp_path))
    return tmp_path


async def move(http: httpx.AsyncClient, alias: str, **body: Any) -> tuple[int, str]:
    answer = await http.put(f"{ALIAS}/{alias}", json=body, headers=TOKEN)
    return answer.status_code, answer.json().get("error", "")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (
            2,
            "shapes:2 would break the clients of shapes:1: its labels differ: number 0 is 'b', and was 'a'; ",
        ),
        (3, "accuracy 0.50 is far below the champion's 0.96 (shapes:1); `force` moves the alias all the same"),
    ],
)
@pytest.mark.usefixtures("home")
def test_it_is_refused_with_the_reason_and_can_be_forced(ask: Ask, number: int, sentence: str) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        status, said = await move(http, "champion", number=number)
        assert (status, said.startswith(sentence)) == (409, True), said
        assert (await get(http, "/models/name/shapes/aliases/champion"))["number"] == 1
        assert await move(http, "champion", number=number, force=True, expected=1) == (200, "")
        assert (await get(http, "/models/name/shapes/aliases/champion"))["number"] == number

    ask(question)


@pytest.mark.usefixtures("home")
def test_a_new_alias_and_the_same_version_again_are_no_change_for_anybody(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        for _ in range(2):
            assert await move(http, "challenger", number=2) == (200, "")
        assert (await move(http, "challenger", number=1))[0] == 409
        assert (await move(http, "champion", number=2, force="yes, please"))[0] == 400

    ask(question)


def test_files_that_the_service_cannot_read_stop_nothing(ask: Ask, home: Path) -> None:
    for path in home.rglob("metadata.json"):
        path.unlink()

    async def question(http: httpx.AsyncClient) -> None:
        assert await move(http, "champion", number=2) == (200, "")

    ask(question)
