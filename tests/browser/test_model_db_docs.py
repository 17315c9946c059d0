"""The documentation page of the model DB in a real browser: its fields become the path, the query and the body."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from browser.chromium import Browser
from browser.serving import HOSTILE, Server, mounted
from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.settings import Settings

pytestmark = pytest.mark.integration

API = "v0.1/api"
ANSWERED = """new Promise(done => {
  const look = () => form.querySelector('.answer > :is(.good, .bad)') ? done() : setTimeout(look, 5);
  look();
})"""
SHOWN = "Object.fromEntries([...form.querySelectorAll('.answer > *')].map(part => [part.className, part.textContent]))"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a model DB with an admin token, below a prefix."""
    served = ModelDB(Settings(home=tmp_path_factory.mktemp("home"), admin_token="secret"))
    with Server(mounted(served, "/below")) as server:
        yield f"{server.url}/below"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Browser]:
    """The page in the browser, which must have nothing to complain of at the end."""
    browser.complaints.clear()
    browser.look(1200, 900)
    browser.open(f"{url}/docs")
    yield browser
    assert browser.complaints == []


def take(page: Browser, method: str, path: str, **values: str) -> None:
    """Opens a route and writes into its fields."""
    selector = json.dumps(f'form[data-method={method}][data-path="{path}"]')
    page.run(f"form = document.querySelector({selector}), form.closest('details').open = true")
    for name, value in values.items():
        field = "[data-token]" if name == "token" else f"[data-parameter={name}]"
        page.run(f"field = form.querySelector('{field}'), field.value = {json.dumps(value)}")
        page.run("field.dispatchEvent(new Event('input', {bubbles: true}))")


def send(page: Browser) -> dict[str, str]:
    page.run("form.querySelector('.answer').replaceChildren()")
    page.run("form.querySelector('[type=submit]').focus()")
    page.press("Enter", 13, "\r")
    page.run(ANSWERED)
    shown: dict[str, str] = page.run(SHOWN)
    return shown


def command(page: Browser) -> str:
    found: str = page.run("form.querySelector('.curl').textContent")
    return found


def test_a_model_is_made_tagged_found_and_deleted_with_the_forms_alone(page: Browser, url: str) -> None:
    take(page, "POST", f"{API}/projects", project_name=HOSTILE)
    assert command(page).endswith(f"""-d '{{"project_name": "{HOSTILE}"}}'""")
    project = json.loads(send(page)["body"])
    assert project["project_name"] == HOSTILE
    take(page, "POST", f"{API}/models", project_id=project["project_id"], model_name="iris", description='a "b"\n')
    model = json.loads(send(page)["body"])
    assert model["description"] == 'a "b"\n'
    take(page, "PUT", f"{API}/models/name/{{model_name}}/tags/{{key}}", model_name="iris", key="team", value="")
    assert command(page).startswith(f"curl -X PUT '{url}/{API}/models/name/iris/tags/team'")
    assert "good" in send(page)
    take(page, "GET", f"{API}/models/all", tag="team\n", limit="5")
    assert command(page).endswith("models/all?tag=team&limit=5'")
    assert [row["model_name"] for row in json.loads(send(page)["body"])] == ["iris"]
    take(page, "DELETE", f"{API}/models/id/{{model_id}}", model_id=model["model_id"], token="secret")
    assert command(page).startswith("curl -X DELETE ")
    assert send(page)["good"].startswith("204 ")


def test_numbers_booleans_and_objects_are_sent_as_such(page: Browser) -> None:
    page.run("window.fetch = async (address, options) => { sent = [address.href, options]; return new Response('{}') }")
    path = f"{API}/models/name/{{model_name}}/aliases/{{alias}}"
    take(page, "PUT", path, model_name="iris", alias="champion", number="2", expected="null", force="true", token="t")
    assert "good" in send(page)
    assert page.run("sent[1].body") == '{"number": 2, "expected": null, "force": true}'
    assert page.run("sent[1].headers['x-admin-token']") == "t"
    take(page, "PUT", path, expected="any", force="")
    send(page)
    assert json.loads(page.run("sent[1].body")) == {"number": 2, "expected": "any"}
    large = '{"c": 12345678901234567890}'
    take(page, "POST", f"{API}/experiments", model_id="m", model_version_id="1", parameters=large)
    send(page)
    assert page.run("sent[1].body") == f'{{"model_id": "m", "model_version_id": "1", "parameters": {large}}}'


def test_what_must_be_there_stands_in_the_command_until_it_is_written_and_is_not_sent_without(page: Browser) -> None:
    take(page, "PUT", f"{API}/models/name/{{model_name}}/aliases/{{alias}}")
    assert "/models/name/model_name/aliases/alias" in command(page)
    assert command(page).endswith("""-d '{"number": 0}'""")
    page.run("form.requestSubmit()")
    assert page.run("form.querySelector('.answer').hidden")


def test_a_refusal_is_shown_as_the_server_says_it(page: Browser) -> None:
    take(page, "GET", f"{API}/models/name/{{model_name}}", model_name="nobody")
    found = send(page)
    page.complaints.clear()  # Chromium's console names the 404
    assert found["bad"].startswith("404 ")
    assert json.loads(found["body"])["error"].startswith("there is no model of this name")


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1200, False)])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, width: int, dark: bool) -> None:
    page.look(width, 800, dark=dark)
    page.run("document.querySelectorAll('details').forEach(route => { route.open = true })")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_the_page_loads_nothing_beside_itself_and_every_field_has_a_label(page: Browser) -> None:
    assert page.run("performance.getEntriesByType('resource').map(entry => entry.name)") == []
    assert page.run("[...document.querySelectorAll('input, textarea, select')].every(field => field.labels.length)")
