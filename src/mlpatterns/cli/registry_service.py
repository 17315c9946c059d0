"""The model registry of `mlpatterns registry` over its HTTP service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from mlpatterns.cli.registry_access import Row, TagOwner, words
from mlpatterns.errors import Denied, InvalidInput, PredictionError
from mlpatterns.redaction import redact
from mlpatterns.registry.client import RegistryClient
from mlpatterns.registry.evaluations import VersionEvaluation, far_below
from mlpatterns.registry.records import VersionRow
from mlpatterns.registry.service import client_of
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["ServiceRegistryAccess", "opened_service"]

KEYS = "an API key goes into the URL, http://key:SECRET@HOST:PORT, and the admin token into MLPATTERNS_ADMIN_TOKEN"


@contextmanager
def opened_service(url: str, admin_token: str | None) -> Iterator[ServiceRegistryAccess]:
    """Opens the service. A refusal, or no answer, becomes a UserError."""
    try:
        with client_of(url, admin_token=admin_token) as client:
            yield ServiceRegistryAccess(client)
    except Denied as error:
        raise UserError(f"the registry at {redact(url)} refuses: {error} ({KEYS})") from error
    except InvalidInput as error:
        raise WrongUse(str(error)) from error
    except PredictionError as error:
        raise UserError(f"the registry at {redact(url)}: {error}") from error


class ServiceRegistryAccess:
    """A RegistryAccess over HTTP. It sends one more request for each model or version that it lists."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        def aliases(name: str) -> str:
            return ", ".join(f"{one.alias}:{one.number}" for one in self._client.aliases(name))

        found = list(self._client.models(search, tags=tags))
        return [(each.model_name, str(each.last_number), aliases(each.model_name), words(each.tags)) for each in found]

    def versions(self, name: str) -> list[Row]:
        return [self._version(each) for each in list(self._client.versions(name))]

    def _version(self, row: VersionRow) -> Row:
        serves = (one.deployment_name for one in self._client.deployments(row.model_name, row.number)
                  if one.ended_datetime is None)  # fmt: skip
        return (str(row.number), ", ".join(row.aliases), ", ".join(serves), words(row.tags),
                f"{row.created_datetime:%Y-%m-%d %H:%M} UTC", row.sha256[:12])  # fmt: skip

    def behind(self, name: str, number: int, alias: str) -> str:
        new = self._client.version(name, number)
        before = next((each.number for each in self._client.aliases(name) if each.alias == alias), number)
        if before == number:
            return ""
        old = self._client.version(name, before)
        return far_below(self._measured(new), self._measured(old), name=name, alias=alias)

    def _measured(self, row: VersionRow) -> VersionEvaluation:
        if row.experiment_id is None:
            return VersionEvaluation(row.number, {})
        found = self._client.experiment(row.experiment_id)
        return VersionEvaluation(row.number, found.evaluations or {}, found.test_dataset)

    def move(
        self, name: str, alias: str, number: int, expected: int | Literal["any"] | None, *, force: bool = False
    ) -> None:
        self._client.move_alias(name, alias, number, expected=expected, force=force)

    def tag(self, owner: TagOwner, given: Mapping[str, str]) -> str:
        name, number = owner
        for key, value in given.items():
            self._tag(name, number, key, value)
        return words((self._client.model(name) if number is None else self._client.version(name, number)).tags)

    def _tag(self, name: str, number: int | None, key: str, value: str) -> None:
        match number, value:
            case None, "":
                self._client.untag_model(name, key)
            case None, _:
                self._client.tag_model(name, key, value)
            case int(), "":
                self._client.untag_version(name, number, key)
            case int(), _:
                self._client.tag_version(name, number, key, value)

    def delete(self, name: str, number: int) -> str:
        self._client.delete_version(name, number)
        return ""  # the service removes the files, or logs why it cannot

    def sweep(self, *, dry: bool) -> list[tuple[str, int]]:
        raise UserError("only the database itself knows which artifacts no version names; set registry to its URL")
