"""What the forms of all pages have in common, besides the script that sends them."""

from __future__ import annotations

from shlex import quote

from mlpatterns.server.pages.markup import Markup, element, group

__all__ = ["CREDENTIALS", "answer_area", "command", "credential", "curl", "curl_of_image"]

CREDENTIALS = {"apiKey": "x-api-key: $API_KEY", "adminToken": "x-admin-token: $ADMIN_TOKEN"}  # in a shell
IMAGE = "picture.png"  # until one is chosen


def curl(url: str, body: str | None, credentials: str = "") -> str:
    """The command that sends what a form would send; a body makes it a POST.

    Args:
        credentials: a header in a shell's words, e.g. `x-api-key: $API_KEY`.
    """
    words = [f"curl '{url}'"]
    if credentials:
        words.append(f'-H "{credentials}"')
    if body is not None:
        words.append(f"-H 'content-type: application/json' -d {quote(body)}")
    return " ".join(words)


def curl_of_image(url: str, credentials: str = "") -> str:
    """The command that sends an image file."""
    body = f"(printf '{{\"data\": \"'; base64 < {IMAGE} | tr -d '\\n'; printf '\"}}')"
    return f"{body} | {curl(url, '@-', credentials)}"


def command(text: str) -> Markup:
    """A command with a button that copies it; the script keeps it to what the form would send."""
    button = element("button", "Copy", type="button", class_="copy")
    return element("div", element("pre", text, class_="curl", tabindex="0"), button, class_="command")


def answer_area(waiting: str = "") -> Markup:
    """Where the script puts an answer; hidden until then, unless it has something to say before."""
    said = element("p", waiting, class_="quiet") if waiting else group()
    return element("div", said, class_="answer", role="status", hidden=not waiting)


def credential(key: str, label: str) -> Markup:
    """The field of what the script sends with every form: `key` or `token`."""
    field = element("input", id=key, type="password", autocomplete="off", spellcheck="false")
    return group(element("label", label, for_=key), field)
