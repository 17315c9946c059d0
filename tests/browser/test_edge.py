"""The site of edge_ai in a real browser: a camera that shows digits, a pad, no network, and nothing that leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from browser.chromium import Browser, chromium, find_chromium
from browser.serving import Server
from mlpatterns.edge.serve import site_app
from mlpatterns.edge.site import EdgeModel, build_site
from mlpatterns.metadata import Array
from mlpatterns.settings import Settings
from mlpatterns.testing.edge_trial import DownloadedSite, answers_in_python
from mlpatterns.training import run
from mlpatterns.user_errors import UserError
from services import unreachable

# Slow: it trains two models and watches a film of ten digits.
pytestmark = [pytest.mark.integration, pytest.mark.slow]

SIDE, FPS, FRAMES = 240, 10, 6  # pixels of the film's pictures; pictures of each digit
PATIENCE = 60.0
STROKES = {  # on the pad's 320 pixels
    "1": [[(160, 50), (160, 270)]],
    "0": [[(160, 50), (100, 90), (85, 160), (100, 230), (160, 270), (220, 230), (235, 160), (220, 90), (160, 50)]],
    "7": [[(90, 60), (230, 60), (150, 270)]],
}
TOP = "[...document.querySelectorAll('#answer-%s li')].map(line => line.firstChild.textContent)"


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    return load_digits().images, load_digits().target


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for name in ("digits_fast", "digits_accurate"):
        run(name, home=home)
    try:
        build_site(
            [EdgeModel.fast("digits_fast"), EdgeModel.accurate("digits_accurate")], home / "site", Settings(home=home)
        )
    except UserError as error:
        unreachable("npm", str(error))
    return home / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, digits: tuple[Array, Array]) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        unreachable("Chromium", "it is not installed (Debian: apt-get install chromium)")
        return
    folder = tmp_path_factory.mktemp("chromium")
    film = folder / "digits.y4m"
    film.write_bytes(filmed([digits[0][place] for place in range(10)]))
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
             f"--use-file-for-fake-video-capture={film}")  # fmt: skip
    with chromium(program, folder / "profile", *flags) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(browser: Browser, site: Path) -> Iterator[Server]:
    with Server(site_app(site)) as server:
        browser.look(1200, 900)
        browser.open(server.url)
        until(browser, "document.body.dataset.ready && document.body.dataset.kept")
        yield server


@pytest.fixture
def page(browser: Browser, served: Server) -> Iterator[Browser]:
    browser.complaints.clear()
    browser.requests.clear()
    yield browser
    assert browser.complaints == []
    assert [(asked["method"], asked.get("hasPostData")) for asked in browser.requests if
            asked["method"] != "GET" or asked.get("hasPostData")] == []  # fmt: skip
    assert {asked["url"].startswith((served.url, "data:")) for asked in browser.requests} <= {True}


def until(page: Browser, condition: str) -> None:
    end = monotonic() + PATIENCE
    while not page.run(f"Boolean({condition})"):
        assert monotonic() < end, f"never: {condition}; the page says {page.run('document.body.innerText')}"
        sleep(0.02)


def filmed(images: list[Array]) -> bytes:
    """A film in YUV4MPEG2, grey: each image large on light paper, dark, for some pictures; then an empty sheet."""
    head = f"YUV4MPEG2 W{SIDE} H{SIDE} F{FPS}:1 Ip A1:1 C420jpeg\n".encode()
    colours = bytes([128]) * (SIDE * SIDE // 2)
    pictures = []
    for image in images:
        sheet = np.zeros((SIDE, SIDE))
        large = np.kron(image / 16, np.ones((16, 16)))
        sheet[56 : 56 + len(large), 56 : 56 + len(large)] = large
        pictures += [(225 - 190 * sheet).astype(np.uint8).tobytes()] * FRAMES
    return head + b"".join(b"FRAME\n" + picture + colours for picture in pictures)


@pytest.mark.heavy  # Chromium plays a film and runs a model on it
def test_the_label_of_each_digit_that_the_camera_shows_is_right(page: Browser, tmp_path: Path) -> None:
    page.run("document.getElementById('camera').click()")
    until(page, "document.body.dataset.frames > 0")
    film = 10 * FRAMES / FPS
    labels: list[str] = []
    end = monotonic() + 2.2 * film
    while monotonic() < end:
        top = page.run(TOP % "accurate")
        assert len(top) == 3
        if not labels or labels[-1] != top[0]:
            labels.append(top[0])
    page.screenshot(tmp_path / "camera.png")
    page.run("document.getElementById('camera').click()")
    start = labels.index("0")
    once = labels[start : start + 10]
    assert once == [str(digit) for digit in range(10)], labels
    assert page.run("document.getElementById('camera').textContent") == "Start the camera"


def test_the_camera_can_be_switched_and_its_pace_chosen(page: Browser) -> None:
    page.run("document.getElementById('pace').value = '500'")
    page.run("document.getElementById('camera').click()")
    until(page, "!document.getElementById('switch').disabled")
    page.run("document.getElementById('switch').click()")
    until(page, "document.getElementById('video').srcObject !== null")
    before = int(page.run("document.body.dataset.frames"))
    sleep(1.2)
    assert int(page.run("document.body.dataset.frames")) - before <= 4
    page.run("document.getElementById('camera').click()")
    page.run("document.getElementById('pace').value = '0'")


def draw(page: Browser, strokes: list[list[tuple[int, int]]]) -> None:
    page.run("document.getElementById('clear').click()")
    area: Any = page.run(
        "(r => [r.left, r.top, r.width / 320])(document.getElementById('pad').getBoundingClientRect())"
    )
    left, top, scale = area

    def mouse(kind: str, point: tuple[int, int], buttons: int) -> None:
        page.call("Input.dispatchMouseEvent", type=kind, x=left + point[0] * scale, y=top + point[1] * scale,
                  button="left", buttons=buttons, clickCount=1)  # fmt: skip

    for stroke in strokes:
        mouse("mousePressed", stroke[0], 1)
        for point in stroke[1:]:
            mouse("mouseMoved", point, 1)
        mouse("mouseReleased", stroke[-1], 0)


@pytest.mark.parametrize("digit", STROKES)
def test_a_drawing_is_recognised(digit: str, page: Browser) -> None:
    before = page.run("document.body.dataset.frames")
    draw(page, STROKES[digit])
    until(page, f"(document.body.dataset.frames ?? null) !== {json.dumps(before)}")
    assert page.run(TOP % "accurate")[0] == digit


def test_an_empty_pad_says_so_and_asks_no_model(page: Browser) -> None:
    before = page.run("document.body.dataset.frames")
    draw(page, [])
    page.run("document.getElementById('pad').dispatchEvent(new PointerEvent('pointerup'))")
    until(page, "document.getElementById('note').textContent === 'no digit found'")
    assert page.run("document.body.dataset.frames") == before


def test_all_images_have_the_same_label_in_the_browser_as_in_python(
    page: Browser, site: Path, digits: tuple[Array, Array]
) -> None:
    import msgspec

    from mlpatterns.edge.site import SITE, Site

    rows = (digits[0] / 16).reshape(len(digits[0]), -1)
    loaded = DownloadedSite(msgspec.json.decode((site / SITE).read_bytes(), type=Site), site, ())
    expected = answers_in_python(loaded, rows)
    found: list[Any] = []
    for begin in range(0, len(rows), 200):
        found += page.run(
            f"(async rows => {{ const all = []; for (const row of rows) all.push((await classifyPixels(row))"
            f".map(one => one.probabilities)); return all; }})({rows[begin : begin + 200].tolist()})"
        )
    for place, key in enumerate(expected):
        labels = np.array([row[place] for row in found]).argmax(axis=1)
        other = np.flatnonzero(labels != expected[key].argmax(axis=1))
        assert len(other) <= 0.005 * len(rows), f"{key} differs at {other.tolist()}"


def test_it_works_without_a_network_once_it_was_loaded(browser: Browser, site: Path) -> None:
    with Server(site_app(site)) as server:
        url = server.url
        browser.open(url)
        until(browser, "document.body.dataset.ready && document.body.dataset.kept")
    browser.complaints.clear()
    browser.open(f"{url}/")  # nobody listens there any more
    until(browser, "document.body.dataset.ready")
    before = browser.run("document.body.dataset.frames")
    draw(browser, STROKES["7"])
    until(browser, f"(document.body.dataset.frames ?? null) !== {json.dumps(before)}")
    assert browser.run(TOP % "accurate")[0] == "7"
