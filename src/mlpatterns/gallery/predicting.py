"""Shows a system that predicts on the index page: the diagram of its pieces, and forms that start with a sample."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Literal

from mlpatterns.catalog import System
from mlpatterns.gallery.card import LINKS, PAGE, Card, FormRoute, FormSpec
from mlpatterns.metadata import ModelMetadata
from mlpatterns.runtime import leaves_first
from mlpatterns.server.app import App
from mlpatterns.server.pages.diagram_nodes import nodes_of
from mlpatterns.server.pages.openapi_rows import row_examples
from mlpatterns.server.pages.openapi_schemas import infer_example

__all__ = ["Predicting"]

LARGEST_PICTURE = 64 * 1024  # bytes; a larger sample is not put into the page
PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


class Predicting:
    """An app that `serve` returned, as a member of the gallery with a form for each model."""

    home = "docs"

    def __init__(self, app: App) -> None:
        self.app = app

    def running(self) -> AbstractAsyncContextManager[App]:
        return self.app.running()

    async def waiting(self) -> list[str]:
        return self.app.health.waiting()

    def trouble(self) -> str:
        return "; ".join(self.app.health.trouble().values())

    async def card(self, system: System) -> Card:
        app, models = self.app, self.app.models
        prefixes = {name: f"models/{name}/" if app.several else "" for name in app.hosted}
        forms = (_form_spec(name, prefixes[name], hosted.known) for name, hosted in app.hosted.items())
        operations = (operation.name for piece in leaves_first(*models.values()) for operation in piece.operations)
        return Card(
            system,
            nodes_of(models),
            tuple(forms),
            links=tuple(path for path in LINKS if path != PAGE),
            waiting=tuple(await self.waiting()),
            unloaded=tuple(name for name in app.hosted if name not in models),
            operations=tuple(dict.fromkeys(operations)),
            secured=app.gate.secured,
        )


def _form_spec(name: str, prefix: str, described: ModelMetadata | None) -> FormSpec:
    infer = f"v2/models/{name}/infer"
    if described is None:  # its metadata is unknown, so every route is offered
        rows = tuple(FormRoute("POST", prefix + path, "rows") for path in ("predict", "predict/label"))
        return FormSpec(name, (*rows, FormRoute("POST", infer, "oip")))
    protocol = json.dumps(infer_example(described) or {"inputs": []}, ensure_ascii=False)
    if len(described.inputs) != 1:
        several = (*_predict_choices(prefix, described, _body(described)), FormRoute("POST", infer, "oip", protocol))
        return FormSpec(name, several, fields=tuple(spec.name for spec in described.inputs))
    spec = described.inputs[0]
    image = _image(described) if spec.content == "image" else None
    body = _body(described) if image is None else json.dumps({"data": base64.b64encode(image).decode()})
    choices = [*_predict_choices(prefix, described, body)]
    if spec.content != "image":
        choices.append(FormRoute("POST", infer, "oip", protocol))
    body_kind: Literal["image", "json"] = "image" if spec.content == "image" else "json"
    return FormSpec(name, tuple(choices), body_kind, spec.fields, _picture(image or b""))


def _predict_choices(prefix: str, described: ModelMetadata, body: str) -> Iterator[FormRoute]:
    suffixes = ("", "/label") if described.labels else ("",)
    for suffix in suffixes:
        yield FormRoute("POST", f"{prefix}predict{suffix}", "rows", body)
    if described.sample and not body:  # the sample is too large for the page, but the server has it
        for suffix in suffixes:
            yield FormRoute("GET", f"{prefix}predict/test{suffix}", "none")


def _body(described: ModelMetadata) -> str:
    """A body for /predict that is made of the sample; empty if there is no sample or it is too large to show."""
    found = row_examples(described)
    return json.dumps(next(iter(found.values())), ensure_ascii=False) if found else ""


def _image(described: ModelMetadata) -> bytes | None:
    """The file of the sample image; None if there is none or it is too large for the page."""
    sample = (described.sample or {}).get(described.inputs[0].name)
    if sample is None or not sample.size:
        return None
    file = sample.flat[0]
    return file if isinstance(file, bytes) and len(file) <= LARGEST_PICTURE else None


def _picture(file: bytes) -> str:
    kind = next((kind for magic, kind in PICTURES.items() if file.startswith(magic)), "")
    return f"data:{kind};base64,{base64.b64encode(file).decode()}" if kind else ""
