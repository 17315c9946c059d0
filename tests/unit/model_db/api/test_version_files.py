"""A version's files over HTTP: held against what is claimed of them, and gone with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlpatterns.model_db.artifacts import publish
from unit.model_db.api.conftest import API, TOKEN, VERSION, Ask, post, shapes

FILES = {"model.onnx": b"graph"}
MODEL = hashlib.sha256(b"graph").hexdigest()
PATH = "/models/name/shapes/versions"


@pytest.fixture
def version(tmp_path: Path) -> dict[str, Any]:
    """The body for files that are in their place."""
    published = publish((tmp_path / "artifacts").as_uri(), "shapes", "k1", FILES, home=tmp_path)
    return {"sha256": MODEL, "manifest_sha256": published.manifest_sha256, "artifact_url": published.url}


def test_files_that_are_in_their_place_are_taken(ask: Ask, version: dict[str, Any], tmp_path: Path) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        assert (await post(http, PATH, version))["number"] == 1
        whole = {**version, "artifact_url": f"{(tmp_path / 'artifacts').as_uri()}/shapes/k1"}
        assert (await post(http, PATH, whole))["number"] == 2

    ask(question)


def test_files_that_are_elsewhere_are_not_looked_at(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        assert (await post(http, PATH, VERSION))["artifact_url"] == "s3://elsewhere/shapes/one"

    ask(question)


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"artifact_url": "shapes/k2"}, 409, "there is no manifest.json at artifact_url; put the files in their place"),
        ({"manifest_sha256": "b" * 64}, 400, "manifest_sha256 is not the digest of the manifest.json at artifact_url"),
        ({"sha256": "a" * 64}, 400, "sha256 is not what the manifest.json at artifact_url says of model.onnx"),
        ({"artifact_url": "../up"}, 400, "is not an object key"),
        ({"artifact_url": "/etc"}, 400, "is not an object key"),
    ],
)
def test_what_is_not_so_is_refused_and_makes_no_version(
    ask: Ask, version: dict[str, Any], change: dict[str, str], status: int, text: str
) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        answer = await http.post(f"{API}{PATH}", json={**version, **change})
        assert (answer.status_code, text in answer.json()["error"]) == (status, True), answer.text
        assert (await http.get(f"{API}{PATH}")).json() == []

    ask(question)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": {}}', b"x" * ((1 << 20) + 1)])
def test_a_manifest_that_is_none_is_refused(ask: Ask, version: dict[str, Any], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "artifacts" / "shapes" / "k1" / "manifest.json").write_bytes(content)

    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        body = {**version, "manifest_sha256": hashlib.sha256(content).hexdigest()}
        answer = await http.post(f"{API}{PATH}", json=body)
        assert answer.status_code == 400, answer.text
        assert "manifest.json at artifact_url" in answer.json()["error"]

    ask(question)


def test_files_go_with_the_last_version_that_names_them(ask: Ask, version: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "artifacts" / "shapes" / "k1"

    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        for _ in range(2):
            await post(http, PATH, version)
        for number, there in ((1, True), (2, False)):
            answer = await http.delete(f"{API}{PATH}/{number}", headers=TOKEN)
            assert answer.status_code == 204, answer.text
            assert folder.exists() is there

    ask(question)


def test_a_version_that_is_not_deleted_keeps_its_files(ask: Ask, version: dict[str, Any], tmp_path: Path) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        await post(http, PATH, version)
        alias = await http.put(f"{API}/models/name/shapes/aliases/champion", json={"number": 1}, headers=TOKEN)
        assert alias.status_code == 200, alias.text
        for headers, status in (({}, 401), (TOKEN, 409)):
            answer = await http.delete(f"{API}{PATH}/1", headers=headers)
            assert answer.status_code == status, answer.text
        assert (tmp_path / "artifacts" / "shapes" / "k1" / "model.onnx").exists()

    ask(question)
