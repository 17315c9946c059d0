"""The documentation page as text; how it behaves is in tests/browser."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import numpy as np

from mlpatterns import Pipeline
from mlpatterns.base import BasePredictor
from mlpatterns.errors import NotStarted
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.server.pages.html import Markup, element, group
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client
from unit.server.doubles import iris
from unit.server.operations_piece import OperationsPiece

HOSTILE = "</script><script>'\"&"


def fetch(served: Any, path: str = "/docs", **options: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with client(served, headers={"x-api-key": "k"}, **options) as http:
            response = await http.get(path)
            assert response.status_code == 200
            return response

    return asyncio.run(main())


class Outline(HTMLParser):
    """The tags with their attributes, and the text within each kind of tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def hostile() -> PythonModel:
    spec = TensorSpec(HOSTILE, "FP32", (-1, 1), fields=(HOSTILE,))
    return PythonModel(lambda: None, lambda _, given: given, inputs=[spec], outputs=[spec], labels=[HOSTILE],
                       version=HOSTILE, name=HOSTILE)  # fmt: skip


def test_names_labels_columns_and_versions_never_become_markup() -> None:
    page = Outline(fetch(lambda: {"plain": hostile()}).text)
    assert len(page.all("script")) == 1
    assert any(HOSTILE in text for texts in page.texts.values() for text in texts)
    assert {tag for tag, _ in page.tags}.isdisjoint({"iframe", "img", "object"})


def test_the_page_names_nothing_outside_itself() -> None:
    response = fetch(iris)
    page = Outline(response.text)
    assert all("src" not in attributes for _, attributes in page.tags)
    assert all(not (a.get("href") or "").startswith(("http", "//")) for a in page.all("a") + page.all("link"))
    assert "@import" not in response.text
    assert "url(" not in response.text


def test_the_policy_allows_just_the_script_and_the_style_that_are_in_the_page() -> None:
    response = fetch(iris)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    for tag in ("script", "style"):
        found = re.findall(f"<{tag}>(.*?)</{tag}>", response.text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() for inline in found]
        assert policy.pop(f"{tag}-src").split() == [f"'sha256-{digest}'" for digest in digests]
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert policy == nothing | {"connect-src": "'self'", "img-src": "data:"}
    assert not re.search(r"""\s(style|on\w+)=["']""", response.text)


def test_every_label_belongs_to_a_field_of_the_page() -> None:
    page = Outline(fetch(iris).text)
    fields = {a["id"] for tag in ("input", "textarea", "select") for a in page.all(tag)}
    assert {a["for"] for a in page.all("label")} == fields


def test_the_root_shows_the_same_page() -> None:
    assert fetch(iris, "/").text == fetch(iris).text.replace("<body>", "<body data-at-root>")


def test_the_diagram_shows_what_was_composed_and_not_the_limit_that_the_server_adds() -> None:
    text = fetch(lambda: Pipeline(CountingModel("first"), CountingModel("last"), name="both")).text
    titles = re.findall(r'class="title">([^<]+)<', text)
    assert titles == ["server", "Pipeline", "1: CountingModel", "2: CountingModel"]


def test_the_curl_example_survives_a_quote_in_the_sample() -> None:
    spec = TensorSpec("text", "BYTES", (-1, 1), content="text")
    model = PythonModel(lambda: None, lambda _, given: given, inputs=[spec], outputs=[spec], name="text",
                        sample={"text": np.array([[b"it's $HOME"]], dtype=object)})  # fmt: skip
    (first, *_) = re.findall(r'<pre class="curl" tabindex="0">(.*?)</pre>', fetch(lambda: model).text)
    command = unescape(re.sub("<[^>]+>", "", first))
    assert shlex.split(command)[-1] == '{"data": "it\'s $HOME"}'


def test_a_key_is_asked_for_only_where_one_is_needed() -> None:
    assert 'id="key"' in fetch(iris, settings=Settings(api_keys={"me": "k"})).text
    assert 'id="key"' not in fetch(iris).text


def test_commands_have_a_field_for_the_token_and_queries_one_for_each_parameter() -> None:
    page = fetch(lambda: OperationsPiece(CountingModel("m")), settings=Settings(admin_token="t")).text
    outline = Outline(page)
    fields = [field for tag in ("input", "select", "textarea") for field in outline.all(tag)]
    assert {"id", "verbose", "tags"} <= {field.get("data-parameter") for field in fields}
    for form in page.split("<form")[1:]:
        assert ("data-token" in form.partition("</form>")[0]) == ("$ADMIN_TOKEN" in form.partition("</form>")[0])
    assert "x-admin-token: $ADMIN_TOKEN" in unescape(page)


def test_where_there_is_no_admin_token_no_field_asks_for_one_and_the_commands_say_how_to_get_one() -> None:
    page = fetch(lambda: OperationsPiece(CountingModel("m"))).text
    assert [field for field in Outline(page).all("input") if field.get("type") == "password"] == []
    assert page.count("set admin_token to turn them on") == page.count('data-credentials="x-admin-token') > 2


def routes(page: str) -> list[str]:
    """The routes that are not folded, and in parentheses the titles of what is."""
    found = re.findall(r'<details class="route"[^>]*>.*?<code>([^<]+)|<details class="fold"><summary><b>([^<]+)', page)
    told, folded = [], False
    for route, title in found:
        folded = bool(title) or folded
        if title or not folded:
            told.append(f"({unescape(title)})" if title else route)
    return told


def test_predict_is_first_and_open_and_what_few_look_for_is_folded() -> None:
    page = fetch(iris).text
    model, _, server = page.partition(">Server</h2>")
    assert routes(model) == [
        "/predict", "/predict/label", "/predict/test", "/predict/test/label", "/metadata", "/label",
        "(Open Inference Protocol)", "(Triton's management)",
    ]  # fmt: skip
    assert routes(server)[:4] == ["/health", "/health/live", "/health/ready", "/metrics"]
    assert routes(server)[-2:] == ["(Open Inference Protocol)", "(Triton's management)"]
    assert re.findall(r'<details class="\w+"[^>]* open>.*?<code>([^<]+)', page) == ["/predict"]
    assert model.index('<details class="route"') < model.index(">Inputs</h3>")


def test_folds_hold_the_routes_of_their_protocol_whatever_the_model_is_called() -> None:
    for name in ("config", "repository", "infer"):
        page = fetch(lambda: {name: iris(name=name)}).text  # noqa: B023 - it is called before the next
        oip = page.partition("<b>Open Inference Protocol")[2].partition('<details class="fold">')[0]
        assert f"<code>/v2/models/{name}</code>" in oip
        assert f"<code>/v2/models/{name}/infer</code>" in oip
        triton = page.partition("<b>Triton&#x27;s management")[2].partition("</section>")[0]
        assert f"<code>/v2/models/{name}/config</code>" in triton
        assert f"<code>/v2/repository/models/{name}/load</code>" in triton


def test_operations_are_shown_by_their_short_path_and_the_long_one_is_folded() -> None:
    page = fetch(lambda: OperationsPiece(CountingModel("m"))).text
    shown = routes(page.partition(">Server</h2>")[0])
    assert "(By the path of the piece)" in shown
    assert [route for route in shown if route.startswith("/pieces/")] == []
    assert "/job/{id}" in shown
    assert "<code>/pieces/" in page.partition("<b>By the path of the piece")[2]


def test_several_models_are_one_click_away_each() -> None:
    page = fetch(lambda: {"one": iris(name="one"), "other": iris(name="other")}).text
    assert 'href="#m0">one<' in page
    assert 'id="m1">other<' in page


def test_a_model_that_is_not_ready_yet_has_a_page_all_the_same() -> None:
    class Late(BasePredictor):
        @property
        def metadata(self) -> ModelMetadata:
            raise NotStarted(self.name)

    assert "not ready yet" in fetch(lambda: Late("late")).text


def test_markup_escapes_what_is_not_markup() -> None:
    assert element("b", "<", class_='"') == '<b class="&quot;">&lt;</b>'
    assert element("b", element("i", "x")) == "<b><i>x</i></b>"
    assert element("input", required=True, hidden=False, data_x="1") == '<input required data-x="1">'
    assert isinstance(group("a", Markup("<b>")), Markup)
