"""The index page of `mlpatterns up` in a real browser: every form asks its system and shows what came back."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from browser.chromium import Browser
from browser.serving import HOSTILE, Server
from browser.systems import gallery, png, started

pytestmark = pytest.mark.integration

API = "/model_db/v0.1/api"
ONCE = "new Promise(done => { const look = () => %s ? done() : setTimeout(look, 5); look(); })"
ANSWERED = ONCE % "document.querySelector('#%s .answer > .good, #%s .answer > .bad')"
SHOWN = "Object.fromEntries([...document.querySelectorAll('#%s .answer > *')].map(p => [p.className, p.textContent]))"
ROUTES = "[...document.querySelectorAll('#%s [data-routes] option')].map(option => option.value)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gallery in whose model DB two models are registered."""
    with Server(started(gallery(tmp_path_factory.mktemp("home")))) as server:
        project = post(f"{server.url}{API}/projects", {"project_name": HOSTILE})["project_id"]
        for name in ("iris", "shapes_" + "and_more_" * 8):
            post(f"{server.url}{API}/models", {"project_id": project, "model_name": name})
        yield server.url


def post(url: str, body: object) -> Any:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Browser]:
    """The page in the browser, which must have nothing to complain of at the end."""
    browser.complaints.clear()
    browser.look(1200, 900)
    browser.open(f"{url}/")
    yield browser
    assert browser.complaints == []


def choose(page: Browser, system: str, path: str) -> None:
    """Takes another route."""
    page.run(f"document.querySelector('#{system} select').value = '{system}/{path}'")
    page.run(f"document.querySelector('#{system} select').dispatchEvent(new Event('change', {{bubbles: true}}))")


def write(page: Browser, system: str, text: str) -> None:
    """Puts `text` into the body, as typing does."""
    page.run(f"document.querySelector('#{system} textarea').value = {json.dumps(text)}")
    page.run(f"document.querySelector('#{system} textarea').dispatchEvent(new Event('input', {{bubbles: true}}))")


def shown(page: Browser, system: str) -> dict[str, str]:
    page.run(ANSWERED % (system, system))
    found: dict[str, str] = page.run(SHOWN % system)
    return found


def send(page: Browser, system: str) -> dict[str, str]:
    """Presses Enter on the button, and reads what the page then shows."""
    page.run(f"document.querySelector('#{system} .answer').replaceChildren()")
    page.run(f"document.querySelector('#{system} [type=submit]').focus()")
    page.press("Enter", 13, "\r")
    return shown(page, system)


def command(page: Browser, system: str) -> str:
    found: str = page.run(f"document.querySelector('#{system} .curl').textContent")
    return found


def test_a_form_sends_the_sample_and_shows_answer_headers_and_latency(page: Browser) -> None:
    found = send(page, "web_single")
    assert found["good"].startswith("200 OK in ")
    assert 0 < float(found["good"].removeprefix("200 OK in ").removesuffix(" ms")) < 30_000
    assert json.loads(found["body"]) == {"prediction": [0.75, 0.125, 0.125]}
    headers = [line.partition(": ")[0] for line in found["quiet"].splitlines()]
    assert headers[:2] == ["x-mlp-prediction-id", "x-mlp-version"]
    assert {"content-type", "content-length"} <= set(headers)


def test_every_route_of_every_ready_system_succeeds_with_what_its_form_begins_with(page: Browser) -> None:
    systems = [system for system in page.run("[...document.querySelectorAll('article:has(form)')].map(a => a.id)")
               if system != "prep_pred"]  # fmt: skip
    answers = {}
    for system in systems:
        for path in page.run(ROUTES % system):
            if "models/other" not in path:  # of the second form
                choose(page, system, path.partition("/")[2])
                answers[path] = send(page, system)
    assert len(answers) >= 12
    assert [path for path, found in answers.items() if "good" not in found] == []
    assert json.loads(answers["web_single/predict/label"]["body"]) == {"prediction": "setosa"}
    assert "outputs" in json.loads(answers["web_single/v2/models/iris/infer"]["body"])


def test_what_is_sent_twice_comes_from_the_cache_of_a_system_that_has_one(page: Browser) -> None:
    write(page, "prediction_cache", '{"data": "asked twice"}')
    assert "x-mlp-cache: miss" in send(page, "prediction_cache")["quiet"]
    assert "x-mlp-cache: hit" in send(page, "prediction_cache")["quiet"]


def test_each_of_several_models_has_a_form_of_its_own(page: Browser) -> None:
    forms = page.run("[...document.querySelectorAll('#condition_based form')].map(form => form.dataset.path)")
    assert forms == ["condition_based/models/first/predict", "condition_based/models/other/predict"]


def test_the_model_db_is_asked_for_what_is_chosen_from_what_is_in_it(page: Browser, url: str) -> None:
    def visible() -> list[str]:
        found: list[str] = page.run(
            "[...document.querySelectorAll('#model_db [data-parameter]')].filter(field => field.offsetParent)"
            ".map(field => field.dataset.parameter)"
        )
        return found

    assert visible() == []
    assert json.loads(send(page, "model_db")["body"])[0]["project_name"] == HOSTILE
    choose(page, "model_db", "v0.1/api/models/project-name/{project_name}")
    assert visible() == ["project_name"]
    assert command(page, "model_db").endswith("/models/project-name/%3Cscript%3Ealert(1)%3C%2Fscript%3E'")
    assert [row["model_name"][:6] for row in json.loads(send(page, "model_db")["body"])] == ["iris", "shapes"]
    choose(page, "model_db", "v0.1/api/models/name/{model_name}")
    assert visible() == ["model_name"]
    assert command(page, "model_db") == f"curl '{url}{API}/models/name/iris'"
    page.run("document.querySelector('#model_db [data-parameter=model_name]').selectedIndex = 1")
    page.run("document.querySelector('#model_db form').dispatchEvent(new Event('change'))")
    assert command(page, "model_db").startswith(f"curl '{url}{API}/models/name/shapes_and_")
    found = send(page, "model_db")
    assert found["good"].startswith("200 OK in ")
    assert json.loads(found["body"])["model_name"].startswith("shapes_and_")
    assert "content-type: application/json" in found["quiet"]


def test_bad_input_shows_the_sentence_of_the_server(page: Browser) -> None:
    write(page, "web_single", '{"data": [[5.1, "wide", 1.4, 0.2]]}')
    found = send(page, "web_single")
    page.complaints.clear()  # Chromium's console names every 400 that a script is answered with
    assert found["bad"].startswith("400 ")
    assert "sepal_width" in json.loads(found["body"])["error"]


def test_ctrl_and_enter_send_from_the_body_and_leave_the_cursor_there(page: Browser) -> None:
    page.run("document.querySelector('#web_single textarea').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, modifiers=2)
    assert shown(page, "web_single")["good"].startswith("200 ")
    assert page.run("document.activeElement.tagName") == "TEXTAREA"


def test_the_command_is_what_the_form_would_send(page: Browser, url: str) -> None:
    write(page, "prediction_cache", '{"data": "it\'s"}')
    assert command(page, "prediction_cache") == (
        f"curl '{url}/prediction_cache/predict' -H 'content-type: application/json' -d '{{\"data\": \"it'\\''s\"}}'"
    )
    choose(page, "prediction_cache", "predict/label")
    assert f"'{url}/prediction_cache/predict/label'" in command(page, "prediction_cache")


def test_the_commands_do_in_a_shell_what_the_forms_do(page: Browser, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(png((0, 200, 0)))
    write(page, "prediction_cache", '{"data": "it\'s $HOME"}')
    for system, answer in (("prediction_cache", [0.25, 0.75]), ("synchronous", [len(png((0, 200, 0)))])):
        shell = ["bash", "-c", command(page, system)]
        done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
        assert json.loads(done.stdout) == {"prediction": answer}


def test_what_was_written_for_one_kind_of_route_is_there_again_when_it_is_back(page: Browser) -> None:
    write(page, "web_single", "mine")
    choose(page, "web_single", "predict/label")
    assert page.run("document.querySelector('#web_single textarea').value") == "mine"
    choose(page, "web_single", "v2/models/iris/infer")
    assert "inputs" in page.run("document.querySelector('#web_single textarea').value")
    choose(page, "web_single", "predict")
    assert page.run("document.querySelector('#web_single textarea').value") == "mine"


def test_the_command_is_copied_at_the_press_of_a_button(page: Browser, url: str) -> None:
    page.call("Browser.grantPermissions", origin=url, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("document.querySelector('#web_single .copy').focus()")
    page.press("Enter", 13, "\r")
    page.run(ONCE % "document.querySelector('#web_single .copy').textContent !== 'Copy'")
    assert page.run("document.querySelector('#web_single .copy').textContent") == "Copied"
    assert page.run("navigator.clipboard.readText()") == command(page, "web_single")


def test_a_chosen_picture_is_shown_and_sent_in_place_of_the_sample(page: Browser, tmp_path: Path) -> None:
    file = tmp_path / "a red one.png"
    file.write_bytes(png((200, 0, 0), side=64))
    document = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=document, selector="#synchronous [type=file]")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
    page.run(ONCE % "document.querySelector('#synchronous img').alt === 'a red one.png'")
    encoded = base64.b64encode(file.read_bytes()).decode()
    assert page.run("document.querySelector('#synchronous img').src").endswith(encoded)
    assert json.loads(send(page, "synchronous")["body"]) == {"prediction": [len(file.read_bytes())]}
    assert "base64 < 'a red one.png'" in command(page, "synchronous")


def test_the_sample_of_a_picture_is_shown(page: Browser) -> None:
    assert page.run("document.querySelector('#synchronous img').naturalWidth") == 32


def test_numbers_that_javascript_cannot_hold_are_shown_as_they_came(page: Browser) -> None:
    answer = '{"a":12345678901234567890,"b":[1.10,{"c":"x: [1, {\\\\\\"y"}],"long":"' + "x" * 80 + '","d":[],"e":null}'
    page.run(f"window.fetch = async () => new Response({json.dumps(answer)})")
    text = send(page, "web_single")["body"]
    assert json.loads(text) == json.loads(answer)
    assert '  "a": 12345678901234567890,\n' in text
    assert '  "b": [1.10, ' in text


def test_a_server_that_is_gone_is_said(page: Browser) -> None:
    page.run("window.fetch = async () => { throw new TypeError('Failed to fetch'); }")
    assert send(page, "web_single")["bad"] == "No answer: Failed to fetch"


def test_a_system_that_is_not_ready_says_so_and_still_has_its_form(page: Browser) -> None:
    assert "not ready: prep" in page.run("document.querySelector('#prep_pred .bad').textContent")
    found = send(page, "prep_pred")
    page.complaints.clear()  # Chromium's console names the 503
    assert found["bad"].startswith("503 ")
    assert "retry-after: " in found["quiet"]


def test_what_is_typed_finds_systems_by_need_and_japanese_name(page: Browser) -> None:
    def visible(text: str) -> list[str]:
        page.run(f"document.getElementById('find').value = {json.dumps(text)}")
        page.run("document.getElementById('find').dispatchEvent(new Event('input'))")
        found: list[str] = page.run(
            "[...document.querySelectorAll('article')].filter(a => a.offsetParent).map(a => a.id)"
        )
        return found

    everything = visible("")
    assert "asked before" in page.run("document.querySelector('#prediction_cache .need').textContent")
    assert visible("asked BEFORE") == ["prediction_cache"]
    assert visible("推論キャッシュ") == ["prediction_cache"]
    assert visible("nothing of this kind") == []
    assert page.run("document.querySelector('.found').textContent").startswith("0 of ")
    assert visible("") == everything


@pytest.mark.parametrize(("width", "dark"), [(390, True), (320, False), (1200, False)])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, width: int, dark: bool) -> None:
    page.look(width, 800, dark=dark)
    choose(page, "model_db", "v0.1/api/models/name/{model_name}")
    for system in ("web_single", "synchronous", "model_db"):
        send(page, system)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width < 330)")


def test_the_page_opens_on_the_system_to_start_with_and_one_press_has_an_answer(page: Browser) -> None:
    assert page.run("document.querySelector('article').id") == "web_single"
    assert page.run("document.querySelector('#web_single [type=submit]').getBoundingClientRect().bottom") < 900
    assert send(page, "web_single")["good"].startswith("200 ")


def test_on_a_telephone_the_list_of_systems_is_folded_and_can_be_opened(page: Browser, url: str) -> None:
    assert page.run("document.querySelector('.systems').open")
    page.look(390, 800)
    page.open(f"{url}/")
    assert not page.run("document.querySelector('.systems nav a').checkVisibility()")
    assert page.run("document.querySelector('#web_single h3').getBoundingClientRect().bottom") < 500
    page.run("document.querySelector('.systems summary').focus()")
    page.press("Enter", 13, "\r")
    page.run(ONCE % "document.querySelector('.systems nav a').checkVisibility()")


def test_a_box_is_small_until_there_is_an_answer_and_then_as_tall_as_that(page: Browser) -> None:
    height = "document.querySelector('#web_single .answer').getBoundingClientRect().height"
    body = "document.querySelector('#web_single .answer .body').%s"
    assert page.run(height) < 60
    write(page, "web_single", json.dumps({"data": [[1, 2, 3, 4]] * 9}))
    send(page, "web_single")
    assert page.run(height) > 200
    for part in ("Height", "Width"):
        assert page.run(body % f"scroll{part}") == page.run(body % f"client{part}")
    write(page, "web_single", json.dumps({"data": [[1, 2, 3, 4]] * 300}))
    send(page, "web_single")
    assert page.run(body % "clientHeight") == pytest.approx(0.6 * 900, abs=2)


@pytest.mark.parametrize("width", [390, 1200])
def test_the_docs_of_all_systems_are_a_page_that_leads_to_each(page: Browser, url: str, width: int) -> None:
    page.look(width, 900)
    page.open(f"{url}/docs")
    wide = "document.querySelector('.wide').%s"
    assert page.run(wide % "scrollWidth") <= page.run(wide % "clientWidth")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.open(page.run("document.querySelector('tbody th a').href"))
    assert page.run("location.href") == f"{url}/web_single/docs"
    assert page.run("document.querySelector('form').dataset.path") == "predict"


@pytest.mark.parametrize("width", [390, 1200])
def test_commands_are_whole_at_any_width(page: Browser, width: int) -> None:
    page.look(width, 800)
    cut = "[...document.querySelectorAll('.command pre')].filter(pre => pre.scrollWidth > pre.clientWidth)"
    assert page.run(f"{cut}.map(pre => pre.textContent)") == []


def test_each_command_of_a_card_is_copied_by_its_own_button(page: Browser, url: str) -> None:
    page.call("Browser.grantPermissions", origin=url, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    last = "[...document.querySelectorAll('#web_single .steps .copy')].at(-1)"
    page.run(f"{last}.focus()")
    page.press("Enter", 13, "\r")
    page.run(ONCE % f"{last}.textContent !== 'Copy'")
    assert page.run("navigator.clipboard.readText()") == "mlpatterns demo web_single"


def test_a_search_without_a_hit_says_what_to_try_and_one_press_tries_it(page: Browser) -> None:
    def typed(text: str) -> list[str]:
        page.run(f"document.getElementById('find').value = {json.dumps(text)}")
        page.run("document.getElementById('find').dispatchEvent(new Event('input'))")
        found: list[str] = page.run("[...document.querySelectorAll('.found button')].map(b => b.textContent)")
        return found

    assert typed("kanary")[0] == "canary"
    assert "Did you mean" in page.run("document.querySelector('.found').textContent")
    assert typed("drfit") == ["drift"]
    assert typed("ﾄﾞﾘﾌﾄﾄ")[0] == "ドリフト"
    assert "drift" in typed("<b>zzzzzz")
    assert "Try " in page.run("document.querySelector('.found').textContent")
    for word in typed("zzzzzz"):
        typed("zzzzzz")
        page.run(f"[...document.querySelectorAll('.found button')].find(b => b.textContent === '{word}').focus()")
        page.press("Enter", 13, "\r")
        assert page.run("document.getElementById('find').value") == word
        assert page.run("document.querySelectorAll('article:not([hidden])').length") > 0, word
        assert page.run("document.activeElement.id") == "find"
    assert typed("") == []


def test_light_and_dark_have_colours_of_their_own_in_the_diagram_too(page: Browser) -> None:
    colours = []
    for dark in (False, True):
        page.look(1200, 900, dark=dark)
        colours.append(page.run("getComputedStyle(document.querySelector('svg .piece .title')).fill"))
        assert page.run("getComputedStyle(document.querySelector('svg .piece rect')).fill") != colours[-1]
    assert colours[0] != colours[1]


def test_every_field_has_a_label_and_every_identifier_is_unique(page: Browser) -> None:
    fields = "[...document.querySelectorAll('input:not([type=hidden]), textarea, select')]"
    assert page.run(f"{fields}.every(field => field.labels.length)")
    identifiers = page.run("[...document.querySelectorAll('[id]')].map(part => part.id)")
    assert len(identifiers) == len(set(identifiers))


def test_labels_and_names_are_text_and_never_markup(page: Browser) -> None:
    choose(page, "prediction_cache", "predict/label")
    assert HOSTILE in send(page, "prediction_cache")["body"]
    assert page.run("document.scripts.length") == 2


def test_no_request_leaves_the_page_but_those_of_its_forms(page: Browser, url: str) -> None:
    assert page.run("performance.getEntriesByType('resource').map(entry => entry.name)") == []
    send(page, "web_single")
    asked = page.run("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked == [f"{url}/web_single/predict"]


def test_without_javascript_diagram_and_command_are_there_and_buttons_are_not(browser: Browser, url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"{url}/")
        assert f"'{url}/web_single/predict'" in command(browser, "web_single")
        assert browser.run("document.querySelector('#web_single svg').getBoundingClientRect().height") > 50
        assert browser.run("document.querySelector('#web_single [type=submit]').offsetParent") is None
        assert browser.run("document.querySelector('noscript p').offsetParent !== null")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
