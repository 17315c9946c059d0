"""The form of the index page that sends a request to one model or service and shows the response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

from mlpatterns.gallery.card import Card, FormRoute, FormSpec
from mlpatterns.server.pages.html import CREDENTIALS, Markup, answer_area, command, curl, curl_of_image, element, group

__all__ = ["form"]


def form(system: str, number: int, spec: FormSpec, card: Card, address: str) -> Markup:
    """The form of one model.

    Args:
        number: the position of the form in its system, for the ids of its elements.
        address: the URL of the server, for the command below the form.
    """
    key = f"{system}-{number}"
    first, credentials = spec.choices[0], CREDENTIALS["apiKey"] if card.secured else ""
    url, body = f"{address}/{system}/{_initial_path(first, spec)}", None if first.method == "GET" else first.body
    by_hand = curl_of_image(url, credentials) if spec.body_kind == "image" else curl(url, body, credentials)
    several = element("h4", spec.model) if len(card.forms) > 1 else group()
    return element(
        "form",
        several,
        _routes(key, system, spec.choices),
        *_parameters(key, spec),
        FIELDS[spec.body_kind](key, spec),
        element("button", "Send", type="submit", aria_label=f"Send to {spec.model} of {system}"),
        element("span", "or Ctrl+Enter", class_="quiet sent"),
        command(by_hand),
        answer_area("The answer, its headers and the time it took will appear here."),
        data_method=first.method,
        data_path=f"{system}/{first.path}",
        data_credentials=credentials or False,
    )


def _routes(key: str, system: str, choices: tuple[FormRoute, ...]) -> Markup:
    options = (
        element("option", f"{choice.method} /{choice.path}", value=f"{system}/{choice.path}",
                data_method=choice.method, data_kind=choice.kind, data_begin=choice.body)
        for choice in choices
    )  # fmt: skip
    chooser = element("select", *options, id=f"{key}-route", data_routes=True, autocomplete="off")
    return group(element("label", "Route", for_=f"{key}-route"), chooser)


def _initial_path(choice: FormRoute, spec: FormSpec) -> str:
    """The path of a choice, with the first value of each path parameter."""
    path = choice.path
    for name, values in spec.parameters.items():
        path = path.replace(f"{{{name}}}", quote(values[0], safe=""))
    return path


def _parameters(key: str, spec: FormSpec) -> Iterator[Markup]:
    """A chooser for each path parameter; those that the first route does not have are hidden."""
    for name, values in spec.parameters.items():
        if any(f"{{{name}}}" in choice.path for choice in spec.choices):
            chooser = element("select", *(element("option", value) for value in values), id=f"{key}-{name}",
                              data_parameter=name, data_in="path", autocomplete="off")  # fmt: skip
            label = element("label", name, for_=f"{key}-{name}")
            yield element("div", label, chooser, hidden=f"{{{name}}}" not in spec.choices[0].path)


def _body(key: str, spec: FormSpec) -> Markup:
    first = spec.choices[0]
    label = f"Body: {', '.join(spec.fields)}" if spec.fields else "Body"
    if any(choice.method == "GET" for choice in spec.choices):
        label += " (the sample is too large to show; the GET routes send it)"
    area = element("textarea", first.body, id=f"{key}-body", rows="3", spellcheck="false", autocomplete="off",
                   data_body=True, data_kind=first.kind)  # fmt: skip
    return group(element("label", label, for_=f"{key}-body"), area)


def _picture(key: str, spec: FormSpec) -> Markup:
    """A file chooser. The form sends the sample until the user chooses a file."""
    first = spec.choices[0]
    chooser = element("input", id=f"{key}-file", type="file", accept="image/*", autocomplete="off")
    shown = element("img", src=spec.picture or "data:,", alt="the model's sample", hidden=not spec.picture)
    label = "Picture (the model's sample until you choose one)" if first.body else "Picture"
    return group(
        element("label", label, for_=f"{key}-file"),
        element("div", chooser, shown, class_="picture"),
        element("input", type="hidden", autocomplete="off", value=first.body, data_body=True, data_kind=first.kind),
    )


def _nothing(key: str, spec: FormSpec) -> Markup:
    return group()


FIELDS: dict[str, Callable[[str, FormSpec], Markup]] = {"json": _body, "image": _picture, "nothing": _nothing}
