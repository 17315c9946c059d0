"""Makes the pictures of the documents in docs/pictures: `python -m docs.make_pictures`.

It trains what is served into a home of its own, and starts `mlpatterns up` and the README's `system.py`. From their
pages it takes the drawings of what each system is made of, as an SVG file each, and with Chromium a photograph of the
index page. Chromium needs a Japanese font (Debian: `apt-get install chromium fonts-vlgothic`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.sessions import PORT, environment, free_port, serving, shown

__all__ = ["FOLDER", "drawings", "python_block"]

FOLDER = Path(__file__).with_name("pictures")
README = Path(__file__).parents[1] / "README.md"
WIDTH, HEIGHT = 1200, 900  # of the photograph, in pixels
DRAWING = re.compile(r'<svg [^>]*aria-labelledby="([\w-]+)-title.*?</svg>', re.DOTALL)
SIZE = re.compile(r'viewBox="\S+ \S+ (\S+) (\S+)" width="[^"]*" height="[^"]*"')
BEFORE = (
    "mlpatterns train iris_sklearn_svc iris_sklearn_rf iris_binary_setosa iris_binary_versicolor iris_binary_virginica",
    "mlpatterns train iris_sklearn_outlier digits_fast digits_accurate digits_low digits_high",
)
# A page's colours, which an SVG file that stands alone does not get from it; the second set is for dark surroundings.
STYLE = """
  svg { color-scheme: light dark; --card: #ffffff; --ink: #1b2330; --quiet: #586274; --line: #d8dde5; --soft: #eef1f5;
        --accent: #1f5fbf; }
  @media (prefers-color-scheme: dark) {
    svg { --card: #1a2029; --ink: #e4e8ee; --quiet: #9aa6b6; --line: #303947; --soft: #232b36; --accent: #86b4ff; }
  }
  path { fill: none; stroke: var(--quiet); stroke-width: 1.3; }
  rect { fill: var(--card); stroke: var(--line); stroke-width: 1.3; }
  text { fill: var(--quiet); font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
  .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
  .server rect { fill: var(--accent); stroke: var(--accent); }
  .server .title { fill: var(--card); }
  .piece rect { fill: var(--soft); }
  .service rect, .again rect { fill: none; stroke: var(--quiet); stroke-dasharray: 5 3; }
"""


def drawings(html: str) -> dict[str, str]:
    """The drawings of a page, by what each is of, as SVG files that stand alone."""
    return {found[1]: _alone(found[0]) for found in DRAWING.finditer(html)}


def python_block(page: str, name: str) -> str:
    """The text of the Python block of a page that begins with `# NAME`.

    Raises:
        ValueError: there is none.
    """
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if block.startswith(f"# {name}\n"):
            return str(block)
    raise ValueError(f"the page has no Python block that begins with `# {name}`")


def _alone(svg: str) -> str:
    svg = SIZE.sub(lambda found: f'viewBox="{_box(found[0])}" width="{found[1]}" height="{found[2]}"', svg)
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, rest = svg.split(">", 1)
    return f"{head}><style>{STYLE}</style>{rest}\n"


def _box(text: str) -> str:
    return text.split('"')[1]


def _fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


def _photograph(port: int, path: Path, profile: str) -> None:
    """A PNG of the first page of the server at `port`, which the browser takes for the port of the documents.

    Raises:
        RuntimeError: there is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("Chromium is not installed (Debian: apt-get install chromium)")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
             f"--host-resolver-rules=MAP localhost:{PORT} 127.0.0.1:{port}", f"--user-data-dir={profile}",
             f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={path}")  # fmt: skip
    command = [program, *flags, f"http://localhost:{PORT}/"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - a browser, our page


def main() -> None:
    """Makes every picture anew."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="pictures-") as folder:
        environ, port = environment(Path(folder, ".mlpatterns")), free_port()
        for name in ("fit.py", "system.py"):
            Path(folder, name).write_text(python_block(README.read_text(encoding="utf-8"), name), encoding="utf-8")
        for command in (*BEFORE, "python fit.py"):
            shown(command, environ, port)
        with serving("mlpatterns up", environ, port):
            made = drawings(_fetched(f"http://127.0.0.1:{port}/"))
            _photograph(port, FOLDER / "index.png", f"{folder}/chromium")
        with serving("mlpatterns run system.py", environ, port):
            (made["composed"],) = drawings(_fetched(f"http://127.0.0.1:{port}/docs")).values()
    for name, svg in made.items():
        FOLDER.joinpath(f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
