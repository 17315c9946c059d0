"""The gate: who is let in for what, whichever face asks."""

from __future__ import annotations

import pytest

from mlpatterns.errors import Denied
from mlpatterns.server.auth import Gate, api_keys

KEYS = api_keys({"alice": "s3cret"})


def test_what_is_open_needs_nothing_even_where_everything_is_guarded() -> None:
    assert Gate(KEYS, "t0ken").admit("open", {}) is None


def test_without_keys_users_are_let_in_and_without_a_token_commands_are_off() -> None:
    gate = Gate()
    assert gate.admit("user", {}) is None
    assert gate.guarded == {"token"}
    with pytest.raises(Denied, match="commands are off on this server; its setting admin_token turns them on"):
        gate.admit("token", {b"x-admin-token": b""})


@pytest.mark.parametrize("token", ["", None])
def test_an_empty_token_opens_nothing(token: str | None) -> None:
    with pytest.raises(Denied, match="commands are off"):
        Gate(admin_token=token).admit("token", {b"authorization": b"Bearer "})


@pytest.mark.parametrize("headers", [{b"x-admin-token": b"t0ken"}, {b"authorization": b"Bearer t0ken"}])
def test_the_token_goes_in_either_header(headers: dict[bytes, bytes]) -> None:
    assert Gate(KEYS, "t0ken").admit("token", headers) == "admin"


def test_the_token_goes_along_with_a_key_in_the_other_header() -> None:
    headers = {b"x-admin-token": b"t0ken", b"authorization": b"Bearer s3cret"}
    gate = Gate(KEYS, "t0ken")
    assert (gate.admit("token", headers), gate.admit("user", headers)) == ("admin", "alice")


@pytest.mark.parametrize(
    "headers",
    [{}, {b"x-api-key": b"s3cret"}, {b"authorization": b"Bearer s3cret"}, {b"x-admin-token": b"t0ke"},
     {b"x-admin-token": "t0ken\xff".encode()}],
)  # fmt: skip
def test_nothing_else_gives_commands(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Denied, match="admin token"):
        Gate(KEYS, "t0ken").admit("token", headers)


def test_the_token_is_no_key_of_a_user() -> None:
    gate = Gate(KEYS, "t0ken")
    assert gate.secured
    with pytest.raises(Denied, match="API key"):
        gate.admit("user", {b"authorization": b"Bearer t0ken"})
