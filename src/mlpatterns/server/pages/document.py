"""What every page begins and ends with: its style and script inside it, and a policy that allows just these."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from mlpatterns.server.pages.markup import Markup, element

__all__ = ["headers_of", "whole_page"]

STYLE, SCRIPT = "page.css", "forms.js"  # of every page
Headers = tuple[tuple[bytes, bytes], ...]


def whole_page(title: str, body: Markup, name: str, *, at_root: bool) -> str:
    """A whole page.

    Args:
        name: of its own style, and of its own script if there is one, in `assets/`.
        at_root: the addresses in the page are relative to where it is, and not to the folder it is in.
    """
    own = (element("script", Markup(asset)) for asset in _assets(name, "js"))
    page = element(
        "html",
        element("head", element("meta", charset="utf-8"), element("title", title),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("meta", name="color-scheme", content="light dark"), element("link", rel="icon", href="data:,"),
                *(element("style", Markup(asset)) for asset in _assets(name, "css"))),
        element("body", body, *own, data_at_root=at_root),
        lang="en",
    )  # fmt: skip
    return f"<!doctype html>\n{page}"


@cache
def headers_of(name: str) -> Headers:
    """What the page may do: run its own scripts, use its own styles, ask its own server; nothing else."""
    styles, scripts = (" ".join(map(_digest, _assets(name, kind))) for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {styles}; script-src {scripts}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )


@cache
def _assets(name: str, kind: str) -> tuple[str, ...]:
    """The texts of the common asset and the page's own."""
    folder = files("mlpatterns.server.pages").joinpath("assets")
    found = (folder.joinpath(file) for file in (STYLE if kind == "css" else SCRIPT, f"{name}.{kind}"))
    return tuple(file.read_text(encoding="utf-8") for file in found if file.is_file())


def _digest(asset: str) -> str:
    """The hash that allows an inline asset (CSP Level 3, hash-source)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()}'"
