"""The OpenAPI document says what the app serves: all of it, nothing else, and as it really is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from mlpatterns.base import BasePredictor
from mlpatterns.errors import NotFound, NotStarted
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Predictor
from mlpatterns.server.answers import Answers
from mlpatterns.server.app import App, serve
from mlpatterns.server.pages.openapi import Documented
from mlpatterns.server.pages.openapi_parts import first_words, summary_of
from mlpatterns.server.pages.openapi_schemas import LARGEST_EXAMPLE, plain
from mlpatterns.server.routes import Routes
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client
from unit.server.doubles import FIELDS, LABELS, SAMPLE, image, iris
from unit.server.operations_piece import Find, OperationsPiece

Document = dict[str, Any]


def pair() -> PythonModel:
    """A model of two inputs and no labels."""
    inputs = [TensorSpec("left", "INT64", (-1, 2)), TensorSpec("right", "BYTES", (-1, 1))]
    sample = {"left": np.array([[1, 2]]), "right": np.array([[b"a"]], dtype=object)}
    return PythonModel(lambda: None, lambda _, given: {"sum": given["left"]}, inputs=inputs,
                       outputs=[TensorSpec("sum", "INT64", (-1, 2))], sample=sample, name="pair")  # fmt: skip


class Late(BasePredictor):
    """A part elsewhere that has not yet answered."""

    @property
    def metadata(self) -> ModelMetadata:
        raise NotStarted(self.name)


SERVED: dict[str, Any] = {
    "one": iris,
    "image": image,
    "two inputs": pair,
    "a table": lambda: people(),
    "several": lambda: {"iris": iris(), "a-b": CountingModel("a-b"), "say.hi": image()},
    "operations": lambda: {"one": OperationsPiece(CountingModel()), "two": OperationsPiece(iris())},
    "late": lambda: Late("late"),
}


def fetch(served: Any, **options: Any) -> tuple[Document, Routes]:
    """The document of an app, as it is served, and the app's routes."""
    app = serve(served, **options)

    async def main() -> tuple[Document, Routes]:
        async with client(app, headers={"x-api-key": "k"}) as http:
            response = await http.get("/openapi.json")
            assert response.status_code == 200
            return response.json(), routes_of(app)

    return asyncio.run(main())


def routes_of(app: App) -> Routes:
    routes = app.dispatcher._routes
    assert routes is not None
    return routes


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def fits(document: Document, name: str, value: Any) -> bool:
    """Whether `value` is what the schema of the components says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(OAS31Validator(schema).is_valid(value))


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_the_document_is_valid_and_every_reference_leads_somewhere(served: Any) -> None:
    document, _ = fetch(served)
    validate(document)
    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_every_documented_path_is_served_and_every_served_path_is_documented(served: Any) -> None:
    document, routes = fetch(served)
    documented = set()
    for method, path, _ in operations(document):
        asked = unquote(path).replace("{version}", "1")
        routes.find(method, asked)
        documented.add((method, unquote(path)))
    exact = {(method, path) for path, methods in routes.exact.items() for method in methods}
    assert exact - documented <= {("GET", "/v2/")}  # "/v2", with the slash that some clients add
    for pattern, methods in routes.patterns.items():
        shape = pattern.count("/")
        assert all(any(m == method and p.count("/") == shape for m, p in documented) for method in methods)


def test_no_route_is_documented_only_by_its_bare_path() -> None:
    document, _ = fetch(SERVED["several"])
    assert [path for _, path, operation in operations(document) if operation["summary"] == path] == []


def test_a_route_that_is_not_known_here_is_still_documented() -> None:
    document, routes = fetch(iris)

    async def job(call: Any) -> Any:
        raise NotFound("no")

    routes.add("GET", "/job/{id}", job)
    again = Documented({}, routes, several=False, secured=False, answers=Answers()).document()
    assert again["paths"]["/job/{id}"]["get"]["parameters"][0]["name"] == "id"
    assert "/job/{id}" not in document["paths"]
    validate(again)


def test_the_row_schema_takes_what_the_model_takes_and_nothing_else() -> None:
    document, _ = fetch(iris)
    row, named = [5.1, 3.5, 1.4, 0.2], dict.fromkeys(FIELDS, 1.0)
    assert fits(document, "iris.Rows", {"data": [row, row]})
    assert fits(document, "iris.Rows", {"data": [named]})
    wrong: list[Any] = [
        {}, {"data": []}, {"data": [row[:3]]}, {"data": row}, {"data": [["a", *row[1:]]]},
        {"data": [row, named]}, {"data": [{**named, "more": 1}]}, {"data": [{"sepal_length": 1}]},
    ]  # fmt: skip
    assert [body for body in wrong if fits(document, "iris.Rows", body)] == []


def test_the_image_schema_takes_one_text_or_several_under_both_of_its_names() -> None:
    document, _ = fetch(image)
    for body in ({"data": "aGk="}, {"data": ["aGk=", "aGk="]}, {"image_data": "aGk="}):
        assert fits(document, "image.Rows", body)
    assert not fits(document, "image.Rows", {"data": "aGk=", "image_data": "aGk="})
    assert not fits(document, "image.Rows", {"data": 3})
    assert not fits(document, "image.Rows", {})


def test_the_prediction_of_one_row_is_flat_and_those_of_several_are_a_list() -> None:
    document, _ = fetch(iris)
    row = [0.5, 0.25, 0.25]
    assert fits(document, "iris.Prediction", {"prediction": row})
    assert fits(document, "iris.Prediction", {"prediction": [row, row]})
    for wrong in (0.5, row[:2], [row, row[:2]]):
        assert not fits(document, "iris.Prediction", {"prediction": wrong})


def test_labels_are_an_enumeration() -> None:
    document, _ = fetch(iris)
    assert fits(document, "iris.Label", {"prediction": "setosa"})
    assert fits(document, "iris.Label", {"prediction": list(LABELS)})
    assert not fits(document, "iris.Label", {"prediction": "rose"})


@pytest.mark.parametrize("name", ["one", "image", "two inputs", "a table"])
def test_every_example_is_accepted_and_every_answer_fits_its_schema(name: str) -> None:
    """The document against the server itself, route by route."""

    async def main() -> None:
        async with client(SERVED[name]) as http:
            document = (await http.get("/openapi.json")).json()
            for method, path, operation in operations(document):
                media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                examples = [said["value"] for said in media.get("examples", {}).values()] or [media.get("example")]
                for example in examples:
                    address = path.replace("{version}", http_version(operation))
                    answer = await http.request(method, address, json=example)
                    check(document, operation, answer)
                    if example is not None:
                        assert answer.status_code == 200

    asyncio.run(main())


def http_version(operation: dict[str, Any]) -> str:
    found = [said["example"] for said in operation["parameters"] if said.get("in") == "path"]
    return str(found[0]) if found else ""


def check(document: Document, operation: dict[str, Any], answer: Any) -> None:
    """That status, headers and body of `answer` are as documented."""
    said = operation["responses"][str(answer.status_code)]
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
    assert {name for name in answer.headers if name.startswith("x-mlp-")} <= set(said["headers"])
    kind = answer.headers["content-type"].partition(";")[0]
    schema = {**said["content"][kind]["schema"], "components": document["components"]}
    if kind == "application/json":
        OAS31Validator(schema).validate(answer.json())


def test_examples_come_from_the_sample_with_numbers_as_short_as_they_were_written() -> None:
    document, _ = fetch(iris)
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples["by-position"]["value"] == {"data": [[5.1, 3.5, 1.4, 0.2]]}
    assert examples["by-name"]["value"] == {"data": [dict(zip(FIELDS, [5.1, 3.5, 1.4, 0.2], strict=True))]}
    infer = document["paths"]["/v2/models/iris/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert infer == {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}


def test_a_sample_that_is_too_large_or_that_json_cannot_say_is_no_example() -> None:
    numbers, texts = TensorSpec("x", "FP32", (-1, -1)), TensorSpec("x", "BYTES", (-1, 1), content="text")
    assert plain(np.zeros((1, LARGEST_EXAMPLE + 1), np.float32), numbers) is None
    assert plain(np.array([[np.nan]], np.float32), numbers) is None
    assert plain(np.array([[b"\xff"]], dtype=object), texts) is None
    assert plain(SAMPLE["input"], numbers) == [[5.1, 3.5, 1.4, 0.2]]


def people() -> PythonModel:
    """One input a column, of several types."""
    inputs = [TensorSpec("age", "FP32", (-1, 1), missing=True), TensorSpec("sex", "BYTES", (-1, 1)),
              TensorSpec("class", "INT64", (-1,))]  # fmt: skip
    sample = {"age": np.array([[np.nan]], np.float32), "sex": np.array([[b"m"]], object), "class": np.array([3])}
    return PythonModel(lambda: None, lambda _, given: {"kind": given["sex"]}, inputs=inputs, sample=sample,
                       outputs=[TensorSpec("kind", "BYTES", (-1, 1))], name="people")  # fmt: skip


def test_a_model_of_several_inputs_takes_rows_by_name_and_columns_by_name() -> None:
    document, _ = fetch(people)
    row = {"age": 22, "sex": "m", "class": 3}
    columns = {"age": [22, None], "sex": ["m", "f"], "class": [3, 1]}
    for right in ([row, {**row, "age": None}], columns, [[22, "m", 3]]):
        assert fits(document, "people.Rows", {"data": right})
    for wrong in ([], row, [{**row, "more": 1}], [{**row, "sex": None}], [{"age": 1}], {"age": [22]}, [[22, "m"]]):
        assert not fits(document, "people.Rows", {"data": wrong})
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples == {"by-name": {"summary": "by name", "value": {"data": [{**row, "age": None}]}}}
    assert "Refused" not in document["paths"]["/predict"]["post"]["description"]
    free, _ = fetch(people, settings=Settings(extra_columns="ignore"))
    assert fits(free, "people.Rows", {"data": [{**row, "more": 1}]})


def test_an_output_of_labels_is_documented_as_what_label_answers() -> None:
    document, _ = fetch(people)
    assert fits(document, "people.Label", {"prediction": "any"})
    assert not fits(document, "people.Label", {"prediction": 3})
    assert "Refused" not in document["paths"]["/predict/label"]["post"]["description"]


def test_with_keys_all_but_health_and_the_page_needs_them_and_both_schemes_are_named() -> None:
    document, _ = fetch(iris, settings=Settings(api_keys={"me": "k"}))
    validate(document)
    assert document["security"] == [{"apiKey": []}, {"bearer": []}]
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer", "adminToken", "adminBearer"}
    public = {path for _, path, operation in operations(document) if operation.get("security") == []}
    assert public == {"/", "/docs", "/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
    for _, path, operation in operations(document):
        assert ("401" in operation["responses"]) == (path not in public)


def test_without_keys_only_commands_need_credentials() -> None:
    document, _ = fetch(iris)
    assert "security" not in document
    assert set(document["components"]["securitySchemes"]) == {"adminToken", "adminBearer"}
    for _, path, operation in operations(document):
        assert ("401" in operation["responses"]) == ("security" in operation) == path.endswith("load")


def test_an_answer_of_its_own_shape_is_not_promised_another() -> None:
    document, _ = fetch(iris, answers=Answers(predict=lambda response, context: {"mine": 1}))
    assert document["components"]["schemas"]["iris.Prediction"] == {}


def test_models_whose_names_look_alike_keep_schemas_of_their_own() -> None:
    models: Mapping[str, Predictor] = {"a-b": CountingModel("a-b", fields=["x"]), "a_b": CountingModel("a_b")}
    document, _ = fetch(lambda: models)
    assert {"a_b.Rows", "a_b_2.Rows"} <= set(document["components"]["schemas"])
    assert document["components"]["schemas"]["a_b.Rows"] != document["components"]["schemas"]["a_b_2.Rows"]


def test_below_a_mount_point_the_document_names_it_as_its_server() -> None:
    _, routes = fetch(iris)
    document = Documented({}, routes, several=False, secured=False, answers=Answers()).document("/web_single")
    assert document["servers"] == [{"url": "/web_single"}]


def test_the_summary_of_an_operation_is_the_beginning_of_its_description() -> None:
    document, _ = fetch(lambda: OperationsPiece(CountingModel("m")))
    query = document["paths"]["/job/{id}"]["get"]
    assert (query["summary"], query["description"]) == ("The state of a job", "The state of a job.")
    assert summary_of("Cancels a `job` that runs; its result is discarded.") == "Cancels a job that runs"
    assert summary_of("Lists dead letters: jobs that failed.") == "Lists dead letters"
    assert summary_of("Gives 10.5 and 1:2. More.") == "Gives 10.5 and 1:2"


def test_a_partial_is_described_by_its_function_and_not_by_the_docstring_of_partials() -> None:
    piece = OperationsPiece(CountingModel("m"))
    assert first_words(partial(piece.find, Find(1))) == "The state of a job."


def test_operations_of_pieces_are_documented_with_the_schemas_of_their_types() -> None:
    document, _ = fetch(lambda: OperationsPiece(CountingModel("m")))
    validate(document)
    paths = document["paths"]
    query, command, page = (
        paths["/job/{id}"]["get"],
        paths["/pieces/m/weights"]["post"],
        paths["/report"]["get"],
    )
    named = {said["name"]: (said["in"], said["required"]) for said in query["parameters"] if "name" in said}
    assert named == {"id": ("path", True), "verbose": ("query", False), "tags": ("query", False)}
    assert (query["tags"], query["description"]) == (["m"], "The state of a job.")
    assert command["requestBody"]["content"]["application/json"]["schema"]["required"] == ["weights"]
    assert command["security"] == [{"adminToken": []}, {"adminBearer": []}]
    assert "401" in command["responses"]
    assert "401" not in query["responses"]
    assert fits(document, "operation.Job", {"id": 1, "state": "done"})
    assert not fits(document, "operation.Job", {"id": "1", "state": "done"})
    assert list(page["responses"]["200"]["content"]) == ["text/html"]
    cancel = paths["/job/{id}/cancel"]["post"]["requestBody"]
    assert (cancel["required"], list(cancel["content"]["application/json"]["schema"]["properties"])) == (
        False,
        ["reason"],
    )
