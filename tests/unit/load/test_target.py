"""The bytes of a request, and the sample of a server."""

from __future__ import annotations

import pytest

from mlpatterns.load.sample import base_url, sample_target
from mlpatterns.load.target import Origin, Target
from mlpatterns.user_errors import UserError


def test_the_bytes_of_a_request() -> None:
    target = Target("http://127.0.0.1:8000/predict?a=1#part", "POST", (("User-Id", "7"),), b'{"data": 1}')
    assert target.wire() == (
        b"POST /predict?a=1 HTTP/1.1\r\nUser-Id: 7\r\nHost: 127.0.0.1:8000\r\nUser-Agent: mlpatterns-load\r\n"
        b'Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data": 1}'
    )


def test_what_is_given_takes_the_place_of_a_default() -> None:
    wire = Target("http://127.0.0.1/", "POST", (("host", "iris"), ("content-type", "text/csv")), b"1").wire()
    assert wire.count(b"ost: ") == 1
    assert b"application/json" not in wire


def test_a_get_has_no_length_and_an_empty_post_has_one() -> None:
    assert b"Content-Length" not in Target("http://127.0.0.1").wire()
    assert b"Content-Length: 0" in Target("http://127.0.0.1", "POST").wire()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1", Origin("http", "127.0.0.1", 80)),
        ("https://[::1]:8443/x", Origin("https", "::1", 8443)),
        ("https://localhost", Origin("https", "localhost", 443)),
    ],
)
def test_where_connections_go(url: str, origin: Origin) -> None:
    assert Target(url).origin == origin


@pytest.mark.parametrize(
    "header", [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "日本"), ("connection", "close")]
)
def test_no_header_can_change_how_the_bytes_are_read(header: tuple[str, str]) -> None:
    with pytest.raises(UserError):
        Target("http://127.0.0.1/", headers=(header,))


@pytest.mark.parametrize("path", ["", "/", "/predict", "/predict/", "/predict/label"])
def test_the_server_of_an_address(path: str) -> None:
    assert base_url(f"http://127.0.0.1:8000/web_single{path}") == "http://127.0.0.1:8000/web_single"


def test_the_sample_is_posted_to_predict() -> None:
    metadata = '{"data_sample": [[5.1, 3.5]], "data_type": "float32"}'
    assert sample_target("http://127.0.0.1:1", metadata, (("a", "b"),)) == Target(
        "http://127.0.0.1:1/predict", "POST", (("a", "b"),), b'{"data":[[5.1,3.5]]}'
    )
    assert sample_target("http://127.0.0.1:1/predict/label", metadata).url == "http://127.0.0.1:1/predict/label"


@pytest.mark.parametrize("metadata", ['{"data_sample": "base64 encoded image file"}', '{"other": 1}'])
def test_without_a_sample_in_the_metadata_the_server_predicts_for_its_own(metadata: str) -> None:
    assert sample_target("http://127.0.0.1:1/", metadata) == Target("http://127.0.0.1:1/predict/test")
    assert sample_target("http://127.0.0.1:1/predict/label", metadata).url == "http://127.0.0.1:1/predict/test/label"


@pytest.mark.parametrize("metadata", ["", "<html>", "[1]", '"text"'])
def test_metadata_that_is_not_ours_is_one_sentence(metadata: str) -> None:
    with pytest.raises(UserError, match="is not that of an mlpatterns server"):
        sample_target("http://127.0.0.1:1/", metadata)
