"""The request bodies of POST and PUT, with the checks of their fields, and the limit of their size."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlpatterns.model_db.resources.aliases import ANY
from mlpatterns.references import NAME
from mlpatterns.registry.labels import fault_of_label, fault_of_text

__all__ = [
    "AliasBody", "ArtifactPathsBody", "BodyLimit", "DeploymentBody", "EvaluationsBody", "ExperimentBody", "ModelBody",
    "Name", "Number", "ProjectBody", "Sha256", "TagBody", "VersionBody",
]  # fmt: skip


def _refusing(fault_of: Callable[[str], str]) -> AfterValidator:
    """A validator that refuses a text for which `fault_of` returns a fault."""

    def check(text: str) -> str:
        if fault := fault_of(text):
            raise PydanticCustomError("text", "It {fault}", {"fault": fault})
        return text

    return AfterValidator(check)


def _check_json(found: dict[str, Any]) -> dict[str, Any]:
    """Checks that a JSON object can be stored in every database and read back as JSON."""
    waiting: list[Any] = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend([*value, *value.values()])
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, float) and not isfinite(value):
            raise PydanticCustomError("number", "It has a number that is not finite; send null")
        elif isinstance(value, str) and (fault := fault_of_text(value)):
            raise PydanticCustomError("text", "It {fault}", {"fault": fault})
    return found


Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=128)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=128), _refusing(fault_of_label)]
Text = Annotated[str, StringConstraints(max_length=10_000), _refusing(fault_of_text)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=32), _refusing(fault_of_label)]
Json = Annotated[dict[str, Any], AfterValidator(_check_json)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Number = Annotated[int, Field(ge=1, le=999_999_999)]


class RequestBody(BaseModel):
    """A JSON object. Unknown fields are refused, because a misspelt field would be lost."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ProjectBody(RequestBody):
    project_name: Label
    description: Text | None = None


class ModelBody(RequestBody):
    project_id: Id
    model_name: Name
    description: Text | None = None


class ExperimentBody(RequestBody):
    """`model_version_id` is the author's own id. A ``sha256:`` digest in `training_dataset` is used for the lineage."""

    model_id: Id
    model_version_id: Label
    parameters: Json | None = None
    training_dataset: Text | None = None
    validation_dataset: Text | None = None
    test_dataset: Text | None = None
    evaluations: Json | None = None
    artifact_file_paths: Json | None = None


class EvaluationsBody(RequestBody):
    evaluations: Json


class ArtifactPathsBody(RequestBody):
    artifact_file_paths: Json


class VersionBody(RequestBody):
    """A version whose files are already stored, with their digests. `artifact_url` is relative to the artifacts' root,
    or absolute: ``s3://BUCKET/…``."""

    sha256: Sha256
    artifact_url: Annotated[str, StringConstraints(min_length=1, max_length=512), _refusing(fault_of_label)]
    manifest_sha256: Sha256
    experiment_id: Id | None = None


class AliasBody(RequestBody):
    """`expected` is the version that the alias must name now; null means none. If it is left out, the alias may name
    any version. `force` moves the alias even to a version that would break clients or is far worse."""

    number: Number
    expected: Number | Literal["any"] | None = ANY
    force: bool = False


class TagBody(RequestBody):
    value: Annotated[str, StringConstraints(max_length=1000), _refusing(fault_of_label)]


class DeploymentBody(RequestBody):
    deployment_name: Label


class BodyLimit:
    """Refuses a body that is too large before it is read, by its content-length. The server enforces that length."""

    MOST: ClassVar[int] = 1 << 20

    def __init__(self, app: ASGIApp, most: int = MOST) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(dict(scope["headers"])) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": refusal}, 413, {"connection": "close"})(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes]) -> str | None:
        if b"transfer-encoding" in headers:
            return "say the body's length in a content-length header"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            return f"the body may have at most {self._most} bytes"
        return None
