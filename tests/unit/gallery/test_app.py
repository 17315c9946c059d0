"""The app of `up`: every system below its name, one index page, one readiness."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import httpx
import numpy as np
import pytest

from browser.systems import gallery as systems_of_every_shape
from mlpatterns.catalog import System, find, systems, texts
from mlpatterns.gallery.app import Gallery
from mlpatterns.metadata import TensorSpec
from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Health
from mlpatterns.server.app import App, serve
from mlpatterns.server.servable import PlainApp
from mlpatterns.settings import Settings
from unit.server.doubles import image, iris

Ask = Callable[[httpx.AsyncClient, Gallery], Awaitable[None]]


def asked(ask: Ask, root_path: str = "") -> None:
    """Runs `ask` against a gallery of two systems."""

    async def main() -> None:
        gallery = Gallery({"web_single": serve(iris), "batch": serve(image)}, systems())
        async with gallery.running():
            transport = httpx.ASGITransport(app=gallery, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                await ask(http, gallery)

    asyncio.run(main())


class Page(HTMLParser):
    """What a page links to, and which of its tags are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("img", "input", "link", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_each_system_answers_below_its_name() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.post("/web_single/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
        assert answer.json() == {"prediction": "setosa"}
        assert (await http.get("/batch/label")).status_code == 200

    asked(ask)


def test_one_system_that_cannot_be_looked_at_does_not_break_the_page_of_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a piece raises when it is asked how it is, the others are shown, and readiness is no 500."""

    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        (piece,) = gallery.apps["batch"].models.values()  # type: ignore[union-attr]
        monkeypatch.setattr(piece, "health", lambda: 1 / 0)
        answer = await http.get("/")
        assert answer.status_code == 200
        assert "<form" in article(answer.text, "web_single")
        assert "the server&#x27;s log says why" in article(answer.text, "batch")
        assert "ZeroDivisionError" in caplog.text
        assert (await http.get("/docs")).status_code == 200
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["error"]) == (503, "not ready yet: batch")

    asked(ask)


def test_what_a_system_has_trouble_with_is_told_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        (piece,) = gallery.apps["batch"].models.values()  # type: ignore[union-attr]
        monkeypatch.setattr(piece, "health", lambda: Health(True, "the registry does not answer"))
        ready = await http.get("/health/ready")
        trouble = {"batch": "the registry does not answer"}
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "trouble": trouble})

    asked(ask)


def test_the_documents_of_a_system_know_where_it_is_mounted() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert (await http.get("/web_single/openapi.json")).json()["servers"] == [{"url": "/web_single"}]

    asked(ask)


def test_behind_a_proxy_that_removes_a_prefix_all_addresses_have_it() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert "http://testserver/api/web_single/predict" in (await http.get("/api/")).text
        assert (await http.get("/api/web_single/openapi.json")).json()["servers"] == [{"url": "/api/web_single"}]
        assert (await http.get("/api/web_single")).headers["location"] == "/api/web_single/docs"

    asked(ask, root_path="/api")


def test_the_page_shows_every_system_and_how_to_ask_those_that_run() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        text = (await http.get("/")).text
        for system in systems():
            assert system.name in text
        sent = """-d '{"data": [[5.1, 3.5, 1.4, 0.2]]}'"""
        command = f"curl 'http://testserver/web_single/predict' -H 'content-type: application/json' {sent}"
        assert escape(command) in text

    asked(ask)


def test_the_page_is_whole_html_that_loads_nothing_from_elsewhere() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.get("/")
        page = Page(answer.text)
        assert page.open == []
        assert not page.tags & {"iframe", "object", "base"}
        assert all(re.fullmatch(r"[a-z_/.]+|#[a-z0-9_]+|data:,", link) for link in page.links)
        assert "url(" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    asked(ask)


def test_every_link_of_the_page_leads_somewhere() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        links = [link for link in Page((await http.get("/")).text).links if "/" in link]
        assert links
        for link in links:
            assert (await http.get(f"/{link}")).status_code == 200, link

    asked(ask)


def test_the_first_card_is_the_one_to_start_with_and_it_is_shown_once() -> None:
    shown = text_of(Gallery({"batch": serve(image), "web_single": serve(iris)}, systems()))
    cards = re.findall(r'<article id="(\w+)"', shown)
    assert cards[:2] == ["web_single", "batch"]
    assert len(cards) == len(set(cards)) == len(systems())
    assert shown.index(">Start here</h2>") < shown.index('<article id="web_single"')


def test_without_the_one_to_start_with_nothing_says_start_here() -> None:
    assert "Start here" not in text_of(Gallery({"batch": serve(image)}, systems()))


def test_each_command_of_a_card_is_whole_with_a_button_that_copies_it(whole: str) -> None:
    for system in systems():
        steps = article(whole, system.name).partition('class="steps"')[2]
        found = re.findall(r'<pre class="curl" tabindex="0">(.*?)</pre><button type="button" class="copy">', steps)
        assert [unescape(command) for command in found] == system.header.commands.splitlines()


def test_cards_ask_for_no_admin_token_since_no_form_of_theirs_is_a_command(whole: str) -> None:
    assert "token" not in {field.partition('"')[0] for field in whole.split('<input id="')[1:]}
    assert "data-token" not in whole.partition("<script>")[0]


def test_the_finder_has_all_words_that_find_goes_by_and_its_examples_find_something(whole: str) -> None:
    for system in systems():
        words = unescape(re.findall(r'data-find="([^"]*)"', article_tag(whole, system.name))[0]).split()
        assert set(" ".join(texts(system)).split()) == set(words)
    (examples,) = re.findall(r'data-examples="([^"]+)"', whole)
    assert [word for word in unescape(examples).split() if not find(word)] == []


def article_tag(page: str, name: str) -> str:
    return page.partition(f'<article id="{name}"')[2].partition(">")[0]


def test_docs_lists_the_systems_with_a_link_to_the_docs_of_each(tmp_path: Path) -> None:
    async def main() -> None:
        served = systems_of_every_shape(tmp_path)
        async with served.running():
            transport = httpx.ASGITransport(app=served)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                answer = await http.get("/docs")
                page = Page(answer.text)
                assert page.open == []
                assert answer.headers["content-type"] == "text/html; charset=utf-8"
                assert "default-src 'none'" in answer.headers["content-security-policy"]
                docs = [link for link in page.links if link.endswith("/docs")]
                assert docs[0] == "web_single/docs"
                assert {*docs} == {f"{name}/docs" for name in served.apps}
                for link in page.links:
                    if link != "data:,":
                        status = (await http.get(f"/{link.removeprefix('./')}")).status_code
                        assert status == 200 or link == "prep_pred/health/ready", link

    asyncio.run(main())


def test_docs_says_which_systems_do_not_run_here_and_links_to_nothing_of_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)

    async def main() -> None:
        served = Gallery({"web_single": serve(iris), "model_db": PlainApp(ModelDB())}, systems())
        async with served.running():
            transport = httpx.ASGITransport(app=served)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                text = (await http.get("/docs")).text
        assert f"does not run here: {escape('the model DB needs an extra: pip install ')}" in text
        assert 'href="model_db/' not in text

    asyncio.run(main())


def test_a_host_that_is_none_is_not_repeated() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        text = (await http.get("/", headers={"host": "x';rm -rf /;'"})).text
        assert "rm -rf" not in text
        assert "http://127.0.0.1:8000/web_single/predict" in text

    asked(ask)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_of_no_system_says_where_the_systems_are_and_supposes_no_route_of_theirs(method: str) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        for path in ("/nowhere/at/all", "/predict"):
            answer = await http.request(method, path)
            assert answer.status_code == 404
            assert answer.json() == {
                "error": "there is nothing at this path; each system is below its name, and /NAME/docs has its routes; "
                "the systems are web_single, batch"
            }

    asked(ask)


def test_it_is_ready_until_it_drains() -> None:
    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        assert (await http.get("/health/ready")).json() == {"ready": True}
        gallery.draining = True
        answer = await http.get("/health/ready")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get("/web_single/health/ready")).status_code == 503
        assert (await http.get("/health/live")).json() == {"live": True}

    asked(ask)


def text_of(served: Gallery) -> str:
    """The page of a gallery."""

    async def main() -> str:
        async with served.running():
            transport = httpx.ASGITransport(app=served)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                return (await http.get("/")).text

    return asyncio.run(main())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of them all."""
    return text_of(systems_of_every_shape(tmp_path_factory.mktemp("home")))


def article(page: str, name: str) -> str:
    return page.partition(f'<article id="{name}"')[2].partition("</article>")[0]


@pytest.mark.parametrize("system", [system for system in systems() if system.name in systems_of_every_shape().apps],
                         ids=lambda system: system.name)  # fmt: skip
def test_every_system_that_runs_has_need_diagram_form_and_docs(whole: str, system: System) -> None:
    shown = article(whole, system.name)
    assert escape(system.header.need) in shown
    assert f'<span class="quiet" lang="ja">{system.header.japanese}</span>' in shown
    assert 'role="img"' in shown
    assert "<form" in shown
    assert "curl &#x27;http://testserver/" in shown
    assert f'href="{system.name}/docs"' in shown


def test_routes_are_those_that_the_model_answers(whole: str) -> None:
    def routes(system: str) -> list[str]:
        return re.findall(r"<option[^>]*>([^<]+)<", article(whole, system))

    assert routes("web_single") == ["POST /predict", "POST /predict/label", "POST /v2/models/iris/infer"]
    assert routes("synchronous") == ["POST /predict"]  # a picture without labels
    assert "POST /models/other/predict/label" in routes("condition_based")


def test_a_body_begins_with_the_sample_and_names_the_columns(whole: str) -> None:
    assert escape('{"data": [[5.1, 3.5, 1.4, 0.2]]}') + "</textarea>" in article(whole, "web_single")
    assert "Body: sepal_length, sepal_width, petal_length, petal_width" in article(whole, "web_single")
    assert escape('{"data": "0042"}') in article(whole, "prediction_cache")


def test_a_sample_too_large_for_the_page_is_sent_by_the_server_itself() -> None:
    wide = {"input": np.zeros((1, 3000), np.float32)}
    spec = TensorSpec("input", "FP32", (-1, 3000))
    shown = text_of(Gallery({"web_single": serve(lambda: iris(inputs=[spec], sample=wide))}, systems()))
    assert "0.0, 0.0, 0.0, 0.0" not in shown
    assert ">GET /predict/test<" in shown
    assert "the GET routes send it" in shown


def test_a_model_of_several_inputs_is_asked_with_a_row_by_name() -> None:
    inputs = [TensorSpec("age", "FP32", (-1, 1)), TensorSpec("sex", "BYTES", (-1, 1))]
    sample = {"age": np.array([[5.1]], np.float32), "sex": np.array([[b"m"]], object)}
    model = PythonModel(lambda: None, lambda _, given: {"y": given["age"]}, inputs=inputs, sample=sample,
                        outputs=[TensorSpec("y", "FP32", (-1, 1))])  # fmt: skip
    shown = unescape(text_of(Gallery({"web_single": serve(lambda: model)}, systems())))
    assert '{"data": [{"age": 5.1, "sex": "m"}]}' in shown
    assert "Body: age, sex" in shown
    assert "/web_single/predict" in shown


def test_a_picture_has_a_chooser_and_its_sample(whole: str) -> None:
    shown = article(whole, "synchronous")
    assert 'type="file"' in shown
    assert 'src="data:image/png;base64,' in shown
    assert "base64 &lt; picture.png" in shown


def test_what_is_not_ready_says_so_and_what_pieces_offer_is_named(whole: str) -> None:
    assert "not ready: prep cannot answer yet" in article(whole, "prep_pred")
    assert "not ready" not in article(whole, "web_single")
    assert "job/{id}, weights" in article(whole, "prediction_cache")


def test_the_limit_that_the_server_adds_is_not_drawn(whole: str) -> None:
    assert ">Limit<" not in whole


def test_trainings_show_their_commands(whole: str) -> None:
    assert "mlpatterns train iris_sklearn_svc" in article(whole, "iris_sklearn_svc")


def test_hostile_names_and_samples_stay_text() -> None:
    hostile = "</script><script>'\"&</textarea>"
    sample = {"text": np.array([[hostile.encode()]], dtype=object)}
    spec = TensorSpec("text", "BYTES", (-1, 1), content="text", fields=(hostile,))

    def build() -> PythonModel:
        return PythonModel(lambda: None, lambda _, given: given, inputs=[spec], outputs=[spec], sample=sample,
                           version=hostile, labels=[hostile], name="named")  # fmt: skip

    text = text_of(Gallery({"web_single": serve(build)}, systems()))
    found = Page(text)
    assert found.open == []
    assert text.count("<script") == 2
    assert escape(hostile) in text


def test_with_api_keys_the_page_has_a_field_for_one_and_says_so_in_its_commands() -> None:
    text = text_of(Gallery({"web_single": serve(iris, settings=Settings(api_keys={"me": "k"}))}, systems()))
    assert '<input id="key" type="password"' in text
    assert escape('-H "x-api-key: $API_KEY"') in text


def test_a_model_that_was_unloaded_says_so_and_keeps_its_form() -> None:
    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        app = gallery.apps["web_single"]
        assert isinstance(app, App)
        app.hosted["iris"].host(None, "unloaded")
        shown = article((await http.get("/")).text, "web_single")
        assert "not loaded: iris" in shown
        assert "<form" in shown

    asked(ask)
