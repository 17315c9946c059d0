"""The objects of S3: what is said when it cannot be used, and that no key of it is said."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from hanging import hanging, trickling
from mlpatterns.errors import Unavailable
from mlpatterns.stores import objects_s3, open_objects
from mlpatterns.stores.objects import ObjectStore
from mlpatterns.testing import free_port
from mlpatterns.user_errors import MissingExtra, SettingsError
from s3_server import SECRET, S3Server

CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "read": lambda store: store.read("shapes/k1", 100),
    "create": lambda store: store.create("shapes/k1", b""),
    "listed": lambda store: store.listed("shapes"),
    "delete": lambda store: store.delete("shapes/k1"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "s3://[",
        "s3://bucket/a/../b",
        "s3://Bucket/prefix",
        "s3://key:pass-word@bucket/prefix",
        "s3://bucket/prefix?secret=pass-word",
        "s3://bucket:9000/prefix",
        "s3://bucket/prefix#part",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="must be s3://BUCKET/PREFIX") as caught:
        open_objects(url)
    assert "pass-word" not in str(caught.value)


@every_call
def test_a_server_that_is_down_is_one_sentence(
    call: Callable[[ObjectStore], object], s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**s3.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable) as caught:
        call(open_objects("s3://bucket/prefix"))
    assert str(caught.value) == "s3://bucket/prefix gives an unexpected answer"


@every_call
def test_a_bucket_that_is_not_there_is_said(call: Callable[[ObjectStore], object], s3_bucket: str) -> None:
    with pytest.raises(Unavailable) as caught:
        call(open_objects(f"{s3_bucket}-other/prefix"))
    assert str(caught.value) == f"{s3_bucket}-other/prefix cannot be used: there is no such bucket"
    assert SECRET not in str(caught.value)


@pytest.fixture
def impatient(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], ObjectStore]:
    """Opens the store at a port, which is given up after a shorter silence."""
    monkeypatch.setattr(objects_s3, "SILENCE", timedelta(seconds=0.4))

    def opened(port: int) -> ObjectStore:
        for name, value in {**s3.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        return open_objects("s3://bucket/prefix")

    return opened


@pytest.mark.parametrize("call", [CALLS["read"], CALLS["listed"], CALLS["delete"]], ids=["read", "listed", "delete"])
def test_a_server_that_never_answers_is_down_within_seconds(
    call: Callable[[ObjectStore], object], impatient: Callable[[int], ObjectStore]
) -> None:
    with hanging() as port, pytest.raises(Unavailable, match="gives an unexpected answer"):
        call(impatient(port))


def test_a_server_that_stops_in_the_middle_of_an_object_is_down(impatient: Callable[[int], ObjectStore]) -> None:
    with trickling(3, iter([0.0])) as port, pytest.raises(Unavailable, match="gives an unexpected answer"):
        impatient(port).read("k", 100)


def test_an_object_that_comes_slowly_comes(impatient: Callable[[int], ObjectStore]) -> None:
    pauses: Iterator[float] = itertools.repeat(0.1, 12)  # much longer in all than the silence that is allowed
    with trickling(12, pauses) as port:
        assert impatient(port).read("k", 100) == b"x" * 12


def test_two_prefixes_of_one_bucket_are_two_stores(s3_bucket: str) -> None:
    one, other, whole = (open_objects(url) for url in (f"{s3_bucket}/one", f"{s3_bucket}/other/", s3_bucket))
    one.create("k", b"of one")
    assert other.listed() == []
    other.create("k", b"of the other")
    assert [found.key for found in whole.listed()] == ["one/k", "other/k"]


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"mlpatterns\[s3\]"):
        open_objects("s3://bucket/prefix")
