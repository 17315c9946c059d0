"""Operations of pieces: where they are, who may, what comes in and what goes out."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from mlpatterns import FanOut
from mlpatterns.predictor import Caller, Operation
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, SlowModel, client
from mlpatterns.user_errors import UserError
from unit.server.operations_piece import Cancel, Find, OperationsPiece

TOKEN = Settings(admin_token="t0ken")
ADMIN = {"x-admin-token": "t0ken"}


def ask(served: Any, *requests: tuple[str, str, dict[str, Any]], **options: Any) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served, **options) as http:
            return [await http.request(method, path, **fields) for method, path, fields in requests]

    return asyncio.run(main())


def one(method: str, path: str, served: Any = None, **fields: Any) -> httpx.Response:
    return ask(served or OperationsPiece(CountingModel("m")), (method, path, fields), settings=TOKEN)[0]


# ---- where they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/job/7", "/pieces/m/job/7"])
def test_an_operation_is_at_its_short_and_at_its_long_path(path: str) -> None:
    answer = one("GET", path)
    assert (answer.status_code, answer.json()) == (200, {"id": 7, "state": "done"})


def test_the_path_is_made_of_the_names_of_children_and_the_apps_own_limit_is_not_in_it() -> None:
    served = FanOut({"a": OperationsPiece(CountingModel("x")), "b": OperationsPiece(CountingModel("y"))}, name="both")
    answers = ask(
        served, *(("GET", path, {}) for path in ("/pieces/both/a/job/1", "/pieces/both/b/job/1", "/job/1", "/weights"))
    )
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404]


def test_several_models_share_what_is_unique_among_all_of_them() -> None:
    served = {"one": OperationsPiece(CountingModel()), "two": CountingModel()}
    answers = ask(served, ("GET", "/weights", {}), ("GET", "/pieces/one/weights", {}))
    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_piece_below_two_models_is_one_piece() -> None:
    piece = OperationsPiece(CountingModel())
    answers = ask(
        {"one": piece, "two": FanOut({"p": piece})}, ("GET", "/weights", {}), ("GET", "/pieces/one/weights", {})
    )
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("name", ["metadata", "health/ready", "health/{id}", "{id}", "v2/models/m", "v2/models/{id}"])
def test_a_short_path_that_another_route_has_is_left_to_it(name: str) -> None:
    async def answer(asked: Any, caller: Caller) -> str:
        return "mine"

    kind = Find if "{" in name else type(None)
    served = OperationsPiece(CountingModel("m"), [Operation(name, "query", "public", kind, str, answer)])
    there, here = ask(
        served, ("GET", "/metadata", {}), ("GET", f"/pieces/m/{name.replace('{id}', '1')}", {}), settings=TOKEN
    )
    assert "data_sample" in there.json()
    assert here.json() == "mine"


@pytest.mark.parametrize(
    ("name", "kind", "input", "words"),
    [
        ("../x", "query", Find, "cannot be named"),
        ("a b", "query", Find, "cannot be named"),
        ("job/{key}", "query", Find, "has no field 'key'"),
        ("job/{id}/{id}", "query", Find, "has a parameter twice"),
        ("x", "query", dict[str, str], "must be a record"),
        ("job/{id}", "command", list[int], "must be a record"),
    ],
)
def test_an_operation_that_cannot_be_a_path_ends_the_start(name: str, kind: Any, input: Any, words: str) -> None:
    operation = Operation(name, kind, "public", input, str, lambda asked, caller: asked)
    with pytest.raises(UserError, match=words):
        ask(OperationsPiece(CountingModel(), [operation]))


def test_two_operations_at_one_path_end_the_start() -> None:
    piece = OperationsPiece(CountingModel("m"))
    with pytest.raises(UserError, match="two operations would answer GET /pieces/m/weights: rename one of them"):
        ask(OperationsPiece(piece.inner, [piece.operations[1]] * 2))


def test_the_key_of_a_part_with_operations_must_fit_a_path() -> None:
    with pytest.raises(UserError, match="cannot be called 'a/b'"):
        ask(FanOut({"a/b": OperationsPiece(CountingModel())}, name="both"))


# ---- who may ------------------------------------------------------------------------------------------------------


def test_a_command_needs_the_token_and_is_off_without_one() -> None:
    body = {"json": {"weights": {"a": 1}}}
    piece = OperationsPiece(CountingModel())
    off = ask(piece, ("POST", "/weights", {**body, "headers": ADMIN}))[0]
    assert (off.status_code, off.json()["error"]) == (
        401, "commands are off on this server; its setting admin_token turns them on",
    )  # fmt: skip
    none, wrong, right = ask(
        piece,
        ("POST", "/weights", body),
        ("POST", "/weights", {**body, "headers": {"authorization": "Bearer no"}}),
        ("POST", "/weights", {**body, "headers": ADMIN}),
        settings=TOKEN,
    )
    assert [none.status_code, wrong.status_code, right.status_code] == [401, 401, 200]
    assert none.headers["www-authenticate"] == "Bearer"


def test_what_is_public_needs_a_key_where_the_app_has_keys() -> None:
    settings = Settings(api_keys={"alice": "k"})
    answers = ask(
        OperationsPiece(CountingModel()),
        ("GET", "/weights", {}),
        ("GET", "/weights", {"headers": {"x-api-key": "k"}}),
        settings=settings,
    )
    assert [answer.status_code for answer in answers] == [401, 200]


def test_a_refused_command_changes_nothing_and_reads_no_body() -> None:
    called: list[Any] = []

    async def remember(told: Any, caller: Caller) -> None:
        called.append(told)

    served = OperationsPiece(CountingModel(), [Operation("go", "command", "token", type(None), type(None), remember)])
    assert ask(served, ("POST", "/go", {"content": b"{"}), settings=TOKEN)[0].status_code == 401
    assert called == []


# ---- what comes in ------------------------------------------------------------------------------------------------


def test_a_query_takes_numbers_flags_and_lists_from_path_and_query_string() -> None:
    piece = OperationsPiece(CountingModel())
    assert ask(piece, ("GET", "/job/7?verbose=true&tags=a&tags=b&other=1", {}))[0].status_code == 200
    assert piece.received == [Find(7, True, ["a", "b"])]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/job/seven", "at id"),
        ("/job/7?verbose=perhaps", "at verbose"),
        ("/job/7?verbose=true&verbose=true", "the parameter 'verbose' is given twice"),
        ("/job/7?verbose=%ff", "must be UTF-8"),
        ("/job/7?" + "&".join(f"x{index}=1" for index in range(300)), "at most 256 fields"),
    ],
)
def test_a_malformed_query_is_400_with_a_sentence(path: str, words: str) -> None:
    answer = one("GET", path)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_path_wins_over_the_query_string_and_the_body() -> None:
    piece, one_id = OperationsPiece(CountingModel()), str(UUID(int=1))
    ask(piece, ("GET", "/job/7?id=8", {}), ("POST", f"/job/{one_id}/cancel", {"json": {"id": "x", "reason": "late"}}))
    assert piece.received == [Find(7), Cancel(UUID(int=1), "late")]


def test_a_command_may_come_without_a_body() -> None:
    piece = OperationsPiece(CountingModel())
    answer = ask(piece, ("POST", f"/job/{UUID(int=1)}/cancel", {}))[0]
    assert (answer.status_code, answer.json(), piece.received) == (200, None, [Cancel(UUID(int=1))])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing required field 'weights'"),
        (b"{", "ends too early"),
        (b"[]", "expected an object"),
        (b"\xff", "the body is not right"),
        (b'{"weights": {"a": "1"}}', "expected a number"),
        (b'{"weights": {}, "x": 1}', "unknown field 'x'"),
        (b'{"weights": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 32 levels"),
    ],
)
def test_a_malformed_command_is_400_with_a_sentence(body: bytes, words: str) -> None:
    answer = one("POST", "/weights", content=body, headers=ADMIN)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_malformed_id_in_the_path_of_a_command_is_named() -> None:
    answer = one("POST", "/job/x/cancel", json={})
    assert (answer.status_code, answer.json()) == (400, {"error": "the parameter 'id' is not right: invalid UUID"})


def test_a_body_over_the_limit_is_413() -> None:
    settings = Settings(admin_token="t0ken", max_body_bytes=100)
    fields = {"content": b" " * 101, "headers": ADMIN}
    assert ask(OperationsPiece(CountingModel()), ("POST", "/weights", fields), settings=settings)[0].status_code == 413


def test_a_large_command_is_read_too() -> None:
    body = {"weights": {f"arm-{index}": 1.0 for index in range(10_000)}}
    assert one("POST", "/weights", json=body, headers=ADMIN).json() == body


# ---- what goes out ------------------------------------------------------------------------------------------------


def test_a_page_is_html_that_runs_no_script() -> None:
    answer = one("GET", "/report")
    assert (answer.headers["content-type"], answer.text) == ("text/html; charset=utf-8", "<h1>グラフ</h1>")
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_error_of_the_piece_keeps_its_code() -> None:
    answers = ask(
        OperationsPiece(CountingModel()),
        ("GET", "/job/404", {}),
        ("POST", "/weights", {"json": {"weights": {}}, "headers": ADMIN}),
        ("DELETE", "/weights", {}),
        settings=TOKEN,
    )
    assert [answer.status_code for answer in answers] == [404, 409, 405]
    assert answers[0].json() == {"error": "there is no such job"}
    assert answers[2].headers["allow"] == "GET, POST"


def test_an_answer_that_json_has_no_word_for_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(asked: Any, caller: Caller) -> Any:
        return {"x": object()}

    served = OperationsPiece(CountingModel(), [Operation("x", "query", "public", type(None), dict[str, Any], answer)])
    assert one("GET", "/x", served).status_code == 500
    assert "cannot be written as JSON" in caplog.text


def test_an_operation_past_its_deadline_is_504_and_cancelled() -> None:
    model = SlowModel(seconds=60)

    async def wait(asked: Any, caller: Caller) -> None:
        await asyncio.sleep(60)

    served = OperationsPiece(model, [Operation("wait", "query", "public", type(None), type(None), wait)])
    assert one("GET", "/wait", served, headers={"x-request-timeout-ms": "20"}).status_code == 504


def test_operations_are_counted_by_their_pattern() -> None:
    text = ask(OperationsPiece(CountingModel()), ("GET", "/job/7", {}), ("GET", "/job/8", {}), ("GET", "/metrics", {}))[
        -1
    ].text
    assert 'mlpatterns_requests_total{route="/job/{id}",status="200"} 2.0' in text
