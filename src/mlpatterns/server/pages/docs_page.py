"""`/docs`: one HTML page with the routes of the OpenAPI document and the models. It loads no other files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlpatterns.markup import Markup, element, group
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import Predictor
from mlpatterns.server.exchange import Answer, Call, Handler
from mlpatterns.server.mounting import own_path
from mlpatterns.server.operations import MappedOperation
from mlpatterns.server.pages.diagram import diagram
from mlpatterns.server.pages.diagram_nodes import nodes_of
from mlpatterns.server.pages.html import credential, headers_of, whole_page
from mlpatterns.server.pages.openapi import Documented
from mlpatterns.server.pages.openapi_server import SERVER
from mlpatterns.server.pages.route_form import RouteRenderer, operations

__all__ = ["docs_handler", "docs_page"]


class Fold(Struct, frozen=True):
    """A group of rarely used routes that the page folds under one line.

    Attributes:
        who: a few words about the use or the users of the routes.
        path: the pattern that the paths of all routes match.
    """

    title: str
    who: str
    path: re.Pattern[str]


OF_TRITON = r"/v2/(repository/.+|models/stats|models/[^/]+(/versions/[^/]+)?/(config|stats))"
PROTOCOLS = (
    Fold("Triton's management", "configuration, statistics, loading", re.compile(OF_TRITON)),
    Fold("Open Inference Protocol", "the routes that KServe's and Triton's clients use", re.compile(r"/v2(/.*)?")),
)


def docs_handler(documented: Documented) -> Handler:
    """The handler of `/docs` and `/`."""

    async def docs(call: Call) -> Answer:
        # The links are relative to the mount point. That is the folder of `/docs`, or the page itself if it is at `/`.
        at_root = own_path(call.scope) == "/"
        return Answer(docs_page(documented, at_root=at_root).encode(), headers_of("docs"))

    return docs


def docs_page(documented: Documented, *, at_root: bool = False) -> str:
    """The HTML of the page.

    Args:
        at_root: whether the page is at the mount point instead of at `/docs`.
    """
    document = documented.document()
    routes = _routes(document, RouteRenderer(document, secured=documented.secured, commands=documented.commands))
    folds = (*PROTOCOLS, _by_piece(documented.operations))
    title = f"{document['info']['title']} · mlpatterns"
    body = element(
        "main",
        _head(document, tuple(documented.models)),
        *(
            _model(
                f"m{number}",
                name,
                model.known,
                _pieces(f"m{number}", name, model.model),
                _folded(routes.get(name, ()), folds),
            )
            for number, (name, model) in enumerate(documented.models.items())
        ),
        element("section", element("h2", "Server"), *_folded(routes.get(SERVER, ()), folds), class_="model"),
    )
    return whole_page(title, body, "docs", at_root=at_root)


def _head(document: Mapping[str, Any], models: Sequence[str]) -> Markup:
    info = document["info"]
    links = [element("a", text, href=path, data_path=path) for path, text in
             (("openapi.json", "OpenAPI document"), ("metrics", "Metrics"), ("health/ready", "Health"))]  # fmt: skip
    text = element("p", info["description"], class_="quiet")
    parts = [element("h1", info["title"]), text, element("nav", *links, aria_label="Documents")]
    if len(models) > 1:
        jumps = (element("a", name, href=f"#m{number}") for number, name in enumerate(models))
        parts.append(element("nav", *jumps, aria_label="Models"))
    if "apiKey" in document["components"].get("securitySchemes", {}):
        parts.append(credential("key", "API key"))
    return element("header", *parts)


# ---- the routes ---------------------------------------------------------------------------------------------------

RenderedRoute = tuple[str, Markup]  # the path of a route, and its HTML


def _routes(document: Mapping[str, Any], renderer: RouteRenderer) -> dict[str, list[RenderedRoute]]:
    """The routes by the model to which they belong. The first route of the document is unfolded."""
    routes: dict[str, list[RenderedRoute]] = {}
    for number, (path, method, operation) in enumerate(operations(document)):
        html = renderer.render(f"r{number}", path, method, operation, opened=not number)
        routes.setdefault(operation["tags"][0], []).append((path, html))
    return routes


def _by_piece(operations: Iterable[MappedOperation]) -> Fold:
    """The fold for the long paths of operations that also have a short path."""
    longer = (re.escape(one.paths[0]) for one in operations if len(one.paths) > 1)
    return Fold("By the path of the piece", "the same operations, by their long names", re.compile("|".join(longer)))


def _folded(routes: Iterable[RenderedRoute], folds: Sequence[Fold]) -> list[Markup]:
    """The routes that belong to no fold, followed by the folds in reverse order. A route belongs to the first fold that
    matches its path."""
    shown: list[Markup] = []
    folded: dict[str, list[Markup]] = {}
    for path, html in routes:
        fold = next((fold for fold in folds if fold.path.fullmatch(path)), None)
        (folded.setdefault(fold.title, []) if fold else shown).append(html)
    return shown + [_fold(fold, folded[fold.title]) for fold in reversed(folds) if fold.title in folded]


def _fold(fold: Fold, routes: Sequence[Markup]) -> Markup:
    summary = element("summary", element("b", fold.title), element("span", fold.who, class_="what"))
    return element("details", summary, *routes, class_="fold")


# ---- a model ------------------------------------------------------------------------------------------------------


def _model(key: str, name: str, described: ModelMetadata | None, pieces: Markup, routes: Sequence[Markup]) -> Markup:
    """The section of one model: its version and platform, its routes, its inputs and outputs, and its pieces."""
    title, asked = element("h2", name, id=key), group(element("h3", "Routes"), *routes)
    if described is None:
        about = element("p", "This model is not ready or not loaded: reload the page in a while.", class_="quiet")
        return element("section", title, about, asked, pieces, class_="model")
    facts = element("p", "version ", element("b", described.version), " · platform ",
                    element("b", described.platform), class_="quiet")  # fmt: skip
    labels = [element("li", label) for label in described.labels]
    return element(
        "section", title, facts, asked,
        _tensors("Inputs", described.inputs),
        _tensors("Outputs", described.outputs),
        group(element("h3", "Labels"), element("ul", *labels, class_="labels")) if labels else group(),
        pieces, class_="model",
    )  # fmt: skip


def _pieces(key: str, name: str, composed: Predictor | None) -> Markup:
    """The diagram of the predictor that build() made, without the Limit around it; empty if it is not loaded."""
    if composed is None:
        return group()
    return group(element("h3", "Pieces"), diagram(f"{key}-pieces", f"The pieces of {name}", nodes_of({name: composed})))


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
