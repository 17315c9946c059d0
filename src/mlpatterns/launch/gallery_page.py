"""The index page of `mlpatterns up`: one HTML document with its style inside and no script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mlpatterns.catalog import System
from mlpatterns.errors import NotStarted
from mlpatterns.predictor import TensorSpec
from mlpatterns.server.app import App

__all__ = ["page", "sample_body"]

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --card: #f6f8fa; --line: #d0d7de;
        --accent: #0757b8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0d1117; --card: #161b22; --line: #30363d; --accent: #6cb2ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Hiragino Sans", "Noto Sans CJK JP", sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 0; font-size: 1.2rem; }
h3 { margin: 2.2rem 0 .6rem; font-size: 1rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); }
a { color: var(--accent); } a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
article { margin: 1rem 0; padding: 1rem 1.1rem; border: 1px solid var(--line); border-radius: .6rem;
          background: var(--card); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: .5rem 0; }
pre { margin: .7rem 0; padding: .7rem .8rem; overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem;
      background: var(--paper); font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre.curl { white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
@media (max-width: 34rem) { dl { display: block; } dd { margin-bottom: .5rem; } }
"""


def page(systems: Sequence[System], apps: Mapping[str, App], address: str) -> str:
    """The whole document. `address` is where the reader reached this server, without a slash at its end."""
    running = "".join(_card(system, apps[system.name], address) for system in systems if system.name in apps)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mlpatterns</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>mlpatterns</h1>
<p class="soft">Production machine-learning systems made of one set of small pieces. These run here, now.</p></header>
<main>
{running}
{_others([system for system in systems if system.name not in apps])}
</main>
</body>
</html>
"""


def sample_body(app: App) -> str | None:
    """The JSON of a request that `app` answers, or None if its simple API takes none that is known here."""
    try:
        model = next(iter(app.models.values())).metadata
    except (NotStarted, StopIteration):
        return None
    if len(app.models) != 1 or len(model.inputs) != 1 or not model.sample:
        return None
    spec = model.inputs[0]
    return json.dumps({"data": _sample(spec, model.sample[spec.name].tolist())}, ensure_ascii=False)


def _sample(spec: TensorSpec, rows: list[Any]) -> Any:
    if spec.content == "image":
        return "BASE64 OF AN IMAGE"
    return _plain(rows[:1])


def _plain(value: Any) -> Any:
    """Numbers as a person would write them: a float32's 5.1 is not 5.099999904632568."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _card(system: System, app: App, address: str) -> str:
    name, header = escape(system.name), system.header
    return f"""<article id="{name}">
<h2>{name} <span class="soft" lang="ja">{escape(header.japanese)}</span></h2>
<p>{escape(header.need)}</p>
<pre>{escape(header.diagram)}</pre>
<nav><a href="{name}/docs">API and its docs</a> <a href="{name}/metadata">metadata</a>
<a href="{name}/metrics">metrics</a> <a href="{name}/health/ready">ready?</a></nav>
{_curl(system, app, address)}
<dl><dt>Use it when</dt><dd>{escape(header.when)}</dd><dt>Not when</dt><dd>{escape(header.when_not)}</dd>
<dt>Pieces</dt><dd>{escape(", ".join(system.pieces))}</dd><dt>In the book</dt><dd>{escape(header.book)}</dd></dl>
</article>
"""


def _curl(system: System, app: App, address: str) -> str:
    body = sample_body(app)
    if body is None:
        return ""
    quoted = body.replace("'", "'\\''")
    command = f"curl -d '{quoted}' -H 'content-type: application/json' {address}/{system.name}/predict"
    return f'<pre class="curl">{escape(command)}</pre>'


def _others(systems: Sequence[System]) -> str:
    """What does not run here: trainings, and what is not built yet."""
    parts = []
    for title, chosen in (
        ("Trainings and programs, from the command line", [system for system in systems if system.built]),
        ("Not built yet", [system for system in systems if not system.built]),
    ):
        rows = "".join(f"<dt>{escape(s.name)}</dt><dd>{escape(s.header.need)}</dd>" for s in chosen)
        parts.append(f"<section><h3>{title}</h3><dl>{rows}</dl></section>" if rows else "")
    return "\n".join(parts)
