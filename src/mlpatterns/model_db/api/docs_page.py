"""`/docs`: the routes as one HTML page that loads nothing and runs no script."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

__all__ = ["add", "page"]

POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; font: 1rem/1.55 system-ui, sans-serif; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; }
dt { font: .9rem/1.7 ui-monospace, Menlo, monospace; } dd { margin: 0; }
@media (max-width: 50rem) { dl { display: block; } dt { overflow-wrap: anywhere; } dd { margin: 0 0 .6rem 1rem; } }
"""


def add(app: FastAPI) -> None:
    """Gives `app` the page."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(page(request.app.openapi(), request.scope.get("root_path", "")), headers=POLICY)


def page(document: dict[str, Any], mount: str = "") -> str:
    """The routes of an OpenAPI document, by tag; `mount` is the path that all of them are below."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            line = f"<dt>{method.upper()} {escape(path)}</dt><dd>{escape(operation.get('description', ''))}</dd>"
            by_tag.setdefault(operation["tags"][0], []).append(line)
    sections = "".join(f"<h2>{escape(tag)}</h2><dl>{''.join(lines)}</dl>" for tag, lines in by_tag.items())
    info, below = document["info"], f" All paths are below <code>{escape(mount)}</code>." if mount else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])}</title><style>{STYLE}</style></head>
<body><h1>{escape(info["title"])}</h1><p>{escape(info["description"])}
Bodies, answers and errors: <a href="openapi.json">openapi.json</a>.{below}</p>{sections}</body></html>
"""
