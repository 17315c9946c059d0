"""The registry behind a model DB's service, `http://…` or `https://…`, for machines that cannot reach the database.

If the URL has a password, it is sent as the API key: `http://key:SECRET@models.example:8000`.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from mlpatterns.errors import Denied, NotFound, PredictionError
from mlpatterns.redaction import redact
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.client import RegistryClient
from mlpatterns.registry.unknown import unknown
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import RegistryDown, UserError, WrongUse

__all__ = ["ServiceConnection", "client_of"]

PATIENCE = 10.0  # seconds that each network operation may take


def client_of(url: str, *, admin_token: str | None = None) -> RegistryClient:
    """A client of the service at the URL of a registry.

    Raises:
        UserError: the URL is not the address of a service.
    """
    try:
        password = urlsplit(url).password
    except ValueError as error:
        raise WrongUse(f"{redact(url)!r} is not the address of a service; write http://HOST:PORT") from error
    key = unquote(password) if password else None
    return RegistryClient(url, api_key=key, admin_token=admin_token, timeout=PATIENCE)


class ServiceConnection:
    """A RegistryConnection to a service.

    Args:
        url: the address of the service.

    Raises:
        UserError: the URL is not the address of a service.
    """

    def __init__(self, url: str) -> None:
        self._shown, self._client = redact(url), client_of(url)

    def find(self, reference: RegisteredReference) -> VersionFiles:
        """See Registry.find.

        Raises:
            UserError: the service refuses the caller, or is not a model DB.
        """
        try:
            return self._find(reference)
        except Denied as error:
            raise UserError(f"the registry at {self._shown} refuses: {error}; its URL may hold the key: "
                            "http://key:SECRET@HOST:PORT") from error  # fmt: skip
        except NotFound as error:  # even the list of models is missing, so this is another kind of server
            raise UserError(
                f"what answers at {self._shown} is not a model DB; `mlpatterns run model_db` is one"
            ) from error
        except PredictionError as error:
            raise RegistryDown(f"the registry at {self._shown} could not be read: {error}") from error

    def close(self) -> None:
        self._client.close()

    def _find(self, reference: RegisteredReference) -> VersionFiles:
        name, number = reference.name, reference.version
        try:
            if number is None:
                number = self._client.alias(name, reference.alias).number
            found = self._client.version(name, number)
        except NotFound:
            raise unknown(
                reference,
                [each.model_name for each in self._client.models()],
                lambda: (each.number for each in self._client.versions(name)),
                lambda: (each.alias for each in self._client.aliases(name)),
            ) from None
        return VersionFiles(found.number, found.artifact_url, found.manifest_sha256)
