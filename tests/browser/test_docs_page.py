"""The documentation page in a real browser: it renders, breaks no policy of its own, and its forms really send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from browser.chromium import Browser
from browser.serving import HOSTILE, Server, iris, mounted
from mlpatterns.server.app import serve
from mlpatterns.server.auth import api_keys
from mlpatterns.settings import Settings

pytestmark = pytest.mark.integration

PREDICT = 'form[data-path="predict"]'
SHOWN = "Object.fromEntries([...document.querySelectorAll('%s .answer > *')].map(p => [p.className, p.textContent]))"
ANSWERED = """new Promise(done => {
  const look = () => document.querySelector('%s .answer > .good, %s .answer > .bad') ? done() : setTimeout(look, 5);
  look();
})"""


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """The address of one served model."""
    with Server(serve(iris)) as server:
        yield server.url


@pytest.fixture
def page(browser: Browser) -> Iterator[Browser]:
    """The browser, which must have nothing to complain of at the end."""
    browser.complaints.clear()
    browser.look(1200, 900)
    yield browser
    assert browser.complaints == []


def send(page: Browser, path: str = "predict", method: str = "POST") -> dict[str, str]:
    """Opens the route, presses Enter on its button, and reads what the page then shows."""
    form = f'form[data-path="{path}"][data-method="{method}"]'
    page.run(f"document.querySelectorAll('details:has({form})').forEach(route => {{ route.open = true }})")
    page.run(f"document.querySelector('{form} [type=submit]').focus()")
    page.press("Enter", 13, "\r")
    page.run(ANSWERED % (form, form))
    shown: dict[str, str] = page.run(SHOWN % form)
    return shown


def test_a_form_sends_its_sample_and_shows_status_time_provenance_and_answer(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    shown = send(page)
    assert shown["good"].startswith("200 OK in ")
    assert shown["good"].endswith(" ms")
    assert "x-mlp-prediction-id: " in shown["quiet"]
    assert "x-mlp-version: " in shown["quiet"]
    assert json.loads(shown["body"]) == {"prediction": [0.75, 0.125, 0.125]}


def test_what_is_typed_into_the_form_is_what_is_sent(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    page.run(f"document.querySelector('{PREDICT} textarea').value = JSON.stringify({{data: [[1, 2]]}})")
    shown = send(page)
    page.complaints.clear()  # Chromium's console names every 400 that a script is answered with
    assert shown["bad"].startswith("400 ")
    assert "has 2 values, expected 4" in shown["body"]


def test_the_first_route_can_be_sent_without_opening_anything_and_protocols_are_folded(
    page: Browser, plain: str
) -> None:
    page.open(f"{plain}/docs")
    assert page.run(f"document.querySelector('form') === document.querySelector('{PREDICT}')")
    assert page.run(f"document.querySelector('{PREDICT} [type=submit]').getBoundingClientRect().bottom") < 900
    assert not page.run("document.querySelector('form[data-path$=infer]').checkVisibility()")
    assert not page.run("document.querySelector('form[data-path$=load]').checkVisibility()")
    page.run("fold = document.querySelector('.fold'), fold.querySelector('summary').focus()")
    page.press("Enter", 13, "\r")
    page.run("new Promise(done => { const look = () => fold.open ? done() : setTimeout(look, 5); look(); })")
    assert page.run("fold.querySelector('.route summary').checkVisibility()")


def test_an_answer_has_a_box_that_grows_with_it_up_to_a_part_of_the_window(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    tall = "document.querySelector('%s .answer .body').%s"
    rows = json.dumps({"data": [[1, 2, 3, 4]] * 12})
    page.run(f"document.querySelector('{PREDICT} textarea').value = JSON.stringify({rows})")
    send(page)
    assert page.run(tall % (PREDICT, "scrollHeight")) == page.run(tall % (PREDICT, "clientHeight")) > 100
    rows = json.dumps({"data": [[1, 2, 3, 4]] * 200})
    page.run(f"document.querySelector('{PREDICT} .answer').replaceChildren()")
    page.run(f"document.querySelector('{PREDICT} textarea').value = JSON.stringify({rows})")
    send(page)
    assert page.run(tall % (PREDICT, "clientHeight")) == pytest.approx(0.6 * 900, abs=2)


def test_the_token_is_typed_once_is_sent_with_commands_and_with_nothing_else(page: Browser) -> None:
    with Server(serve(iris, settings=Settings(admin_token="secret"))) as server:
        page.open(f"{server.url}/docs")
        page.run(
            "sent = []; before = window.fetch; window.fetch = (u, o) => { sent.push(o.headers); return before(u, o) }"
        )
        page.run("document.querySelector('[data-token]').value = 'secret'")
        page.run("document.querySelector('[data-token]').dispatchEvent(new Event('input', {bubbles: true}))")
        assert page.run("[...document.querySelectorAll('[data-token]')].map(field => field.value)") == ["secret"] * 2
        assert send(page)["good"].startswith("200 ")
        assert send(page, "v2/repository/models/iris/load")["good"].startswith("200 ")
        assert page.run("sent.map(headers => headers['x-admin-token'] ?? null)") == [None, "secret"]


def test_rows_by_name_are_one_choice_away(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    page.run(f"document.querySelector('{PREDICT} select').selectedIndex = 1")
    page.run(f"document.querySelector('{PREDICT} select').dispatchEvent(new Event('change'))")
    assert '"sepal_length": 5.1' in page.run(f"document.querySelector('{PREDICT} textarea').value")
    assert send(page)["good"].startswith("200 ")


def test_every_form_but_of_commands_succeeds_with_its_own_example(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    forms = page.run(
        "[...document.querySelectorAll('form:not([data-credentials])')].map(f => [f.dataset.path, f.dataset.method])"
    )
    answers = {path: send(page, path, method) for path, method in forms}
    assert len(answers) > 15
    assert [path for path, shown in answers.items() if "good" not in shown] == []


@pytest.mark.parametrize("path", ["/below", "/below/", "/below/docs"])
def test_under_a_mount_prefix_forms_links_and_curl_carry_the_prefix(page: Browser, path: str) -> None:
    with Server(mounted(serve(iris), "/below")) as server:
        page.open(server.url + path)
        assert page.run("document.querySelector('nav a').href") == f"{server.url}/below/openapi.json"
        assert f"curl '{server.url}/below/predict'" in page.run("document.querySelector('.curl').textContent")
        assert send(page)["good"].startswith("200 ")


def test_labels_and_names_of_pieces_are_text_and_never_markup(page: Browser) -> None:
    with Server(serve(lambda: {"one": iris(HOSTILE), "other": iris("other")})) as server:
        page.open(f"{server.url}/docs")
        assert page.run("document.scripts.length") == 1
        assert f'"{HOSTILE}' in page.run("[...document.querySelectorAll('.labels li')].map(l => l.textContent)")
        assert send(page, "models/one/predict")["good"].startswith("200 ")


def test_the_key_typed_into_the_page_is_sent_with_the_forms(page: Browser) -> None:
    known = api_keys({"tester": "a key"})

    def admit(headers: Mapping[bytes, bytes]) -> str | None:
        return "reader" if headers.get(b"sec-fetch-mode") == b"navigate" else known(headers)

    with Server(serve(iris, auth=admit)) as server:
        page.open(f"{server.url}/docs")
        assert send(page)["bad"].startswith("401 ")
        page.complaints.clear()  # Chromium's console names the 401
        page.run(f"document.querySelector('{PREDICT} .answer').replaceChildren()")
        page.run("document.getElementById('key').value = 'a key'")
        assert send(page)["good"].startswith("200 ")


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1200, False)])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, plain: str, width: int, dark: bool) -> None:
    page.look(width, 800, dark=dark)
    page.open(f"{plain}/docs")
    page.run("document.querySelectorAll('details').forEach(route => { route.open = true })")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_every_field_has_a_label_and_every_identifier_is_unique(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    assert page.run("[...document.querySelectorAll('input, textarea, select')].every(field => field.labels.length)")
    identifiers = page.run("[...document.querySelectorAll('[id]')].map(part => part.id)")
    assert len(identifiers) == len(set(identifiers))


def test_the_page_loads_nothing_beside_itself(page: Browser, plain: str) -> None:
    page.open(f"{plain}/docs")
    assert page.run("performance.getEntriesByType('resource').map(entry => entry.name)") == []
