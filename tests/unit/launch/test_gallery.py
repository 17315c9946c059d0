"""The app of `up`: every system below its name, one index page, one readiness."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser

import httpx

from mlpatterns.catalog import systems
from mlpatterns.launch.gallery import Gallery
from mlpatterns.launch.gallery_page import sample_body
from mlpatterns.server.app import serve
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
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_each_system_answers_below_its_name() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.post("/web_single/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
        assert answer.json() == {"prediction": "setosa"}
        assert (await http.get("/batch/label")).status_code == 200

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
        assert "http://testserver/web_single/predict" in text
        assert "{&quot;data&quot;: [[5.1, 3.5, 1.4, 0.2]]}" in text

    asked(ask)


def test_the_page_is_whole_html_that_loads_nothing_from_elsewhere() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.get("/")
        page = Page(answer.text)
        assert page.open == []
        assert not page.tags & {"script", "img", "link", "iframe"}
        assert all(re.fullmatch(r"[a-z_/]+", link) for link in page.links)
        assert "url(" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    asked(ask)


def test_every_link_of_the_page_leads_somewhere() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        links = [link for link in Page((await http.get("/")).text).links if "/docs" in link or "/health" in link]
        assert links
        for link in links:
            assert (await http.get(f"/{link}")).status_code == 200, link

    asked(ask)


def test_a_host_that_is_none_is_not_repeated() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        text = (await http.get("/", headers={"host": "x';rm -rf /;'"})).text
        assert "rm -rf" not in text
        assert "http://127.0.0.1:8000/web_single/predict" in text

    asked(ask)


def test_a_path_of_no_system_names_the_systems() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.get("/nowhere/at/all")
        assert answer.status_code == 404
        assert answer.json() == {"error": "there is nothing at this path; the systems are web_single, batch"}
        assert (await http.post("/predict", json={})).status_code == 404

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


def test_an_app_that_does_not_run_has_no_sample_to_show() -> None:
    assert sample_body(serve(iris)) is None
