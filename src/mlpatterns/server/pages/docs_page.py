"""`/docs`: the OpenAPI document and the models as one HTML page that loads nothing and works without internet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import Predictor
from mlpatterns.server.exchange import Answer, Call, Handler
from mlpatterns.server.mounting import own_path
from mlpatterns.server.pages.diagram import diagram
from mlpatterns.server.pages.diagram_nodes import nodes_of
from mlpatterns.server.pages.html import (
    CREDENTIALS,
    Markup,
    answer_area,
    command,
    credential,
    curl,
    element,
    group,
    headers_of,
    whole_page,
)
from mlpatterns.server.pages.openapi import Documented
from mlpatterns.server.pages.openapi_server import SERVER

__all__ = ["docs_handler", "docs_page"]

ORIGIN = "http://127.0.0.1:8000"  # of the curl examples, until the script puts the page's own in its place


def docs_handler(documented: Documented) -> Handler:
    """The handler of `/docs` and `/`."""

    async def docs(call: Call) -> Answer:
        # A page at "/docs" has its routes beside it; one at the mount point has them below it.
        at_root = own_path(call.scope) == "/"
        return Answer(docs_page(documented, at_root=at_root).encode(), headers_of("docs"))

    return docs


def docs_page(documented: Documented, *, at_root: bool = False) -> str:
    """The page.

    Args:
        at_root: the page is at the mount point, and not at `/docs`.
    """
    document, routes = documented.document(), dict[str, list[Markup]]()
    for number, (path, method, operation) in enumerate(_operations(document)):
        form = _Route(f"r{number}", path, method, operation, secured="security" in document)
        routes.setdefault(operation["tags"][0], []).append(form.drawn())
    title = f"{document['info']['title']} · mlpatterns"
    body = element(
        "main",
        _head(document),
        *(
            _model(name, model.known, _pieces(f"m{number}", name, model.model), routes.get(name, []))
            for number, (name, model) in enumerate(documented.models.items())
        ),
        element("section", element("h2", "Server"), *routes.get(SERVER, []), class_="model"),
    )
    return whole_page(title, body, "docs", at_root=at_root)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _head(document: Mapping[str, Any]) -> Markup:
    info = document["info"]
    links = [element("a", text, href=path, data_path=path) for path, text in
             (("openapi.json", "OpenAPI document"), ("metrics", "Metrics"), ("health/ready", "Health"))]  # fmt: skip
    text = element("p", info["description"], class_="quiet")
    parts = [element("h1", info["title"]), text, element("nav", *links, aria_label="Documents")]
    schemes = document["components"].get("securitySchemes", {})
    for scheme, key, label in (("apiKey", "key", "API key"), ("adminToken", "token", "Admin token")):
        if scheme in schemes:
            parts.append(credential(key, label))
    return element("header", *parts)


# ---- a model ------------------------------------------------------------------------------------------------------


def _model(name: str, described: ModelMetadata | None, pieces: Markup, routes: list[Markup]) -> Markup:
    if described is None:
        about = element("p", "This model is not ready or not loaded: reload the page in a while.", class_="quiet")
    else:
        facts = element("p", "version ", element("b", described.version), " · platform ",
                        element("b", described.platform), class_="quiet")  # fmt: skip
        labels = [element("li", label) for label in described.labels]
        about = group(
            facts,
            _tensors("Inputs", described.inputs),
            _tensors("Outputs", described.outputs),
            group(element("h3", "Labels"), element("ul", *labels, class_="labels")) if labels else Markup(),
        )
    return element("section", element("h2", name), about, pieces, element("h3", "Routes"), *routes, class_="model")


def _pieces(key: str, name: str, composed: Predictor | None) -> Markup:
    """The diagram of what build() made, if it is loaded: without what the server puts around it."""
    if composed is None:
        return group()
    return group(element("h3", "Pieces"), diagram(key, f"The pieces of {name}", nodes_of({name: composed})))


def _tensors(title: str, specs: tuple[TensorSpec, ...]) -> Markup:
    heads = element("tr", *(element("th", text, scope="col") for text in ("name", "datatype", "shape", "content")))
    lines = [
        element("tr", element("th", spec.name, scope="row"), element("td", spec.datatype),
                element("td", " × ".join("any" if size < 0 else str(size) for size in spec.shape) or "one"),
                element("td", ", ".join(spec.fields) or spec.content))
        for spec in specs
    ]  # fmt: skip
    table = element("table", element("thead", heads), element("tbody", *lines))
    return group(element("h3", title), element("div", table, class_="wide"))


# ---- a route ------------------------------------------------------------------------------------------------------


class _Route:
    """One route: what it does, its curl, and a form that sends it. `key` is unique in the page."""

    def __init__(self, key: str, path: str, method: str, operation: Mapping[str, Any], *, secured: bool) -> None:
        self.key, self.path, self.method, self.operation = key, path, method, operation
        needed = [name for scheme in operation.get("security", [{"apiKey": []}] if secured else []) for name in scheme]
        self.credentials = next((CREDENTIALS[name] for name in needed), "")
        self.examples = _examples(operation)

    def drawn(self) -> Markup:
        verb = element("span", self.method, class_=f"verb {self.method.lower()}")
        what = element("span", self.operation["summary"], class_="what")
        summary = element("summary", verb, element("code", self.path), what)
        about = element("p", self.operation.get("description", ""))
        return element("details", summary, about, self._form(), class_="route", id=self.key)

    def _curl(self) -> Markup:
        path = self.path
        for parameter in self._parameters():
            path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", parameter["name"])))
        body = next(iter(self.examples.values()), "") if self.method == "POST" else None
        return command(curl(ORIGIN + path, body, self.credentials))

    def _form(self) -> Markup:
        parts = [self._field(parameter) for where in ("path", "query") for parameter in self._parameters(where)]
        if "requestBody" in self.operation:
            parts.append(self._body())
        button = element("button", "Send", type="submit", aria_label=f"Send {self.method} {self.path}")
        send = {"data_method": self.method, "data_path": self.path.removeprefix("/")}
        return element(
            "form", self._curl(), *parts, button, answer_area(), **send, data_credentials=self.credentials or False
        )

    def _parameters(self, where: str = "path") -> list[Mapping[str, Any]]:
        return [parameter for parameter in self.operation.get("parameters", ()) if parameter.get("in") == where]

    def _field(self, parameter: Mapping[str, Any]) -> Markup:
        key, name = f"{self.key}-{parameter['name']}", parameter["name"]
        field = element("input", id=key, type="text", data_parameter=name, data_in=parameter["in"],
                        value=str(parameter.get("example", "")), required=parameter["required"])  # fmt: skip
        return group(element("label", name, for_=key), field)

    def _body(self) -> Markup:
        key, parts = f"{self.key}-body", Markup()
        if len(self.examples) > 1:
            options = [element("option", name, value=body) for name, body in self.examples.items()]
            chooser = element("select", *options, id=f"{key}-example", data_fills=key)
            parts = group(element("label", "Rows", for_=f"{key}-example"), chooser)
        body = next(iter(self.examples.values()), "")
        note = "" if body else " (the model has no sample, or one too large to show)"
        area = element("textarea", body, id=key, rows="3", spellcheck="false", data_body=True)
        return group(parts, element("label", f"Body{note}", for_=key), area)


def _examples(operation: Mapping[str, Any]) -> dict[str, str]:
    """Example bodies as JSON text, by name."""
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found = {said["summary"]: said["value"] for said in media.get("examples", {}).values()}
    if "example" in media:
        found["sample"] = media["example"]
    return {name: json.dumps(value, ensure_ascii=False) for name, value in found.items()}
