"""The common parts of all pages: parts of forms, which a script in `assets/` sends, and the complete HTML of a page. A
page loads no other files."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from shlex import quote

from mlpatterns.markup import Markup, element, group

__all__ = [
    "CREDENTIALS", "Markup", "answer_area", "command", "credential", "curl", "curl_of_image", "element", "group",
    "headers_of", "whole_page",
]  # fmt: skip

CREDENTIALS = {"apiKey": "x-api-key: $API_KEY", "adminToken": "x-admin-token: $ADMIN_TOKEN"}  # for a shell command
IMAGE = "picture.png"  # the file name in a command until the user chooses a file
STYLE, SCRIPT = "page.css", "forms.js"  # the assets of every page
Headers = tuple[tuple[bytes, bytes], ...]


# ---- forms ---------------------------------------------------------------------------------------------------------


def curl(url: str, body: str | None, credentials: str = "", method: str = "") -> str:
    """The curl command that sends the same request as a form. With a body, curl sends a POST unless `method` differs.

    Args:
        credentials: headers as in a shell command, one per line, e.g. `x-api-key: $API_KEY`.
        method: a method other than GET and POST.
    """
    named = f"-X {method} " if method not in ("", "GET", "POST") else ""
    words = [f"curl {named}'{url}'"]
    words += [f'-H "{header}"' for header in credentials.splitlines()]
    if body is not None:
        words.append(f"-H 'content-type: application/json' -d {quote(body)}")
    return " ".join(words)


def curl_of_image(url: str, credentials: str = "") -> str:
    """The curl command that sends an image file."""
    body = f"(printf '{{\"data\": \"'; base64 < {IMAGE} | tr -d '\\n'; printf '\"}}')"
    return f"{body} | {curl(url, '@-', credentials)}"


def command(text: str) -> Markup:
    """A command with a button that copies it. The script updates the command when the form changes."""
    button = element("button", "Copy", type="button", class_="copy")
    return element("div", element("pre", text, class_="curl", tabindex="0"), button, class_="command")


def answer_area(waiting: str = "") -> Markup:
    """The area where the script shows an answer. Until then it shows the text `waiting`. Without this text the area is
    hidden."""
    said = element("p", waiting, class_="quiet") if waiting else group()
    return element("div", said, class_="answer", role="status", hidden=not waiting)


def credential(key: str, label: str) -> Markup:
    """The field for a credential that the script sends with every form. Its id is `key`."""
    field = element("input", id=key, type="password", autocomplete="off", spellcheck="false")
    return group(element("label", label, for_=key), field)


# ---- whole pages ---------------------------------------------------------------------------------------------------


def whole_page(title: str, body: Markup, name: str, *, at_root: bool) -> str:
    """The complete HTML of a page.

    Args:
        name: the file name, without its extension, of the page's own style and script in `assets/`, if there are any.
        at_root: whether the page is at the mount point. Relative addresses then begin at the page itself, not at its
            folder.
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
    """The headers of a page. Its policy allows only its own scripts and styles, and requests to its own server."""
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
    """The text of the common asset of this kind, and of the page's own asset if there is one."""
    folder = files("mlpatterns.server.pages").joinpath("assets")
    found = (folder.joinpath(file) for file in (STYLE if kind == "css" else SCRIPT, f"{name}.{kind}"))
    return tuple(file.read_text(encoding="utf-8") for file in found if file.is_file())


def _digest(asset: str) -> str:
    """The hash source that allows an inline asset (CSP Level 3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()}'"
