"""edge_ai: its demo holds on the real models, and each claim fails where the site does not keep it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.responses import Response
from starlette.routing import Route

from mlpatterns.catalog import get, systems
from mlpatterns.cli import main
from mlpatterns.edge import serve, site
from mlpatterns.edge.engine import FILES
from mlpatterns.gallery.app import Gallery
from mlpatterns.launch.target import app_of, registered_models
from mlpatterns.patterns.serving import edge_ai
from mlpatterns.testing.edge_trial import answers_in_python
from services import unreachable

FILE, SENT, FAST, ACCURATE, FOUND = (
    "every file arrives as the site's own list says",
    "nothing can be sent to the site",
    "fast: the same label on the device as in Python",
    "accurate: the same label on the device as in Python",
    "a digit anywhere on a picture is found, cut out and told",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        unreachable("Node.js", "it is not installed (Debian: apt-get install nodejs npm)")
    monkeypatch.setattr(edge_ai, "EVERY", 36)  # a support vector machine takes its time on a device
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[bytes], bytes]], None]:
    """Changes a file of the site as it is built, with its digest in the list."""
    whole = site._write

    def change(name: str, made: Callable[[bytes], bytes]) -> None:
        def write(contents: dict[str, bytes], folder: Path) -> None:
            whole({**contents, name: made(contents[name])}, folder)

        monkeypatch.setattr(site, "_write", write)

    return change


def failing() -> set[str]:
    from mlpatterns.testing import client

    async def work() -> set[str]:
        async with client(edge_ai.app) as http:
            evidence = await edge_ai.demo(http)
        return {row.claim for row in evidence.rows if not row.holds}

    return asyncio.run(work())


def test_the_demo_holds_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "edge_ai"]) == 0
    out = capsys.readouterr().out
    assert all(claim in out for claim in (FILE, SENT, FAST, ACCURATE, FOUND))


def test_a_server_that_takes_pictures_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken(request: Any) -> Response:
        return Response()

    made = serve.site_app

    def taking(folder: Path) -> Any:
        app = made(folder)
        app.routes.insert(0, Route("/{path:path}", taken, methods=["POST"]))
        return app

    monkeypatch.setattr(serve, "site_app", taking)
    assert failing() == {SENT}


def test_a_device_that_answers_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:

    def other(*asked: Any) -> Mapping[str, Any]:
        answers = dict(answers_in_python(*asked))
        answers["fast"] = np.where(np.arange(len(answers["fast"]))[:, None] < 20, -answers["fast"], answers["fast"])
        return answers

    monkeypatch.setattr(edge_ai, "answers_in_python", other)
    assert failing() == {FAST}


def test_pictures_that_are_not_cut_out_are_told(changed: Any) -> None:
    whole = b"{ left: 0, top: 0, right: width, bottom: height }"
    changed("ink.js", lambda content: content.replace(b"ink && boxOf(ink, width, height);", whole + b";"))
    assert FOUND in failing()


def test_a_file_that_is_damaged_is_told_and_the_demo_exits_1(changed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    changed("style.css", lambda content: content + b" ")
    assert main(["demo", "edge_ai"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "FAILS" in line]  # the one row: not row.holds
    assert FILE in line


def test_up_and_demo_train_what_it_shows() -> None:
    models = {str(reference) for reference in registered_models(app_of(get("edge_ai")))}
    assert models == {"digits_fast@champion", "digits_accurate@champion"}


def test_build_and_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "build", "--out", str(tmp_path / "site")]) == 0
    out = capsys.readouterr().out
    assert "digits_fast:1, int8" in out
    assert "digits_accurate:1, float32" in out
    assert {path.name for path in (tmp_path / "site" / "ort").iterdir()} == set(FILES)
    assert main(["edge", "build", "--out", str(tmp_path / "site")]) == 0  # over the one before


def test_what_is_no_site_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["edge", "build", "--out", str(tmp_path)]) == 2
    assert "holds files that are not a site of mlpatterns" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("home")] == ["notes.txt"]


def test_nothing_is_written_beside_a_registered_model(
    trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quantizing writes beside the file that it is given, and a registry's folder may be full or read-only."""
    from onnxruntime import quantization

    given: list[Path] = []
    quantize = quantization.quantize_dynamic

    def watched(model: Path, target: Path, **options: Any) -> None:
        given.append(model)
        quantize(model, target, **options)

    monkeypatch.setattr(quantization, "quantize_dynamic", watched)
    assert main(["edge", "build", "--out", str(tmp_path / "site")]) == 0
    assert given
    assert not any(path.is_relative_to(trained_home) for path in given)


def test_what_cannot_be_quantized_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise ValueError("Failed to find proper\nai.onnx domain")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", full)
    assert main(["edge", "build", "--out", str(tmp_path / "site")]) == 1
    said = "model.onnx cannot be quantized: Failed to find proper ai.onnx domain; serve it as it is"
    assert capsys.readouterr().err == f"mlpatterns: {said}\n"


def test_a_registered_model_that_was_changed_is_not_put_into_a_site(
    trained_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (trained_home / "artifacts" / "digits_accurate").rglob("model.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"!")
    try:
        assert main(["edge", "build", "--out", str(tmp_path / "site")]) == 1
    finally:
        file.write_bytes(whole)  # other tests of this process have the same home
    assert "does not match its SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize(("reference", "sentence"), [
    ("iris_sklearn_rf", "has no matrix and no convolution"),
    ("digits_fst", "did you mean 'digits_fast'"),
])  # fmt: skip
def test_a_model_that_cannot_be_shown_is_one_sentence(
    reference: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edge", "build", "--out", str(tmp_path / "site"), "--fast", reference]) != 0
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert main(["edge", "build", "--out", str(tmp_path / "site"), "--accurate", "iris_sklearn_svc"]) == 1
    assert "pictures of one size, not of [2, 8] pixels" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_serving_what_is_not_there_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "serve", str(tmp_path)]) == 2
    assert "`mlpatterns edge build` makes one" in capsys.readouterr().err


def test_where_it_cannot_be_built_the_other_systems_run(
    tmp_path: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    monkeypatch.setenv("MLPATTERNS_REGISTRY", f"sqlite:///{trained_home}/registry.db")
    monkeypatch.setenv("MLPATTERNS_ARTIFACTS", (trained_home / "artifacts").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm
    gallery = Gallery({name: app_of(get(name)) for name in ("edge_ai", "web_single")}, systems())

    async def work() -> tuple[int, str]:
        async with (
            gallery.running(),
            httpx.AsyncClient(transport=httpx.ASGITransport(app=gallery), base_url="http://testserver") as http,
        ):
            refused = await http.get("/edge_ai/")
            assert (await http.get("/web_single/predict/test")).status_code == 200
            return refused.status_code, refused.text

    status, text = asyncio.run(work())
    assert status == 503
    assert "npm, which downloads" in text


def test_what_the_site_does_not_have_is_one_sentence_and_health_is_told(tmp_path: Path) -> None:
    from mlpatterns.testing import client

    app = serve.EdgeSite(*edge_ai.app.models, folder=tmp_path / "site")

    async def main() -> None:
        async with client(app) as http:
            for method, path, status, sentence in (
                ("GET", "/nope", 404, "there is nothing at this path"),
                ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, "there is nothing at this path"),
                ("POST", "/", 405, "this path answers GET: the site takes nothing"),
                ("POST", "/health", 405, "this path answers GET: the site takes nothing"),
            ):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.json()) == (status, {"error": sentence})
            for name in ("live", "ready"):
                assert (await http.get(f"/health/{name}")).json() == {name: True}

    asyncio.run(main())
