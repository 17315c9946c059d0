"""Errors.

All that this library raises on purpose. The text of each is one sentence. That of a PredictionError goes to the client;
its second argument, `retry_after`, is the seconds after which trying again may help.
"""

from __future__ import annotations

from mlpatterns import ErrorCode, MlpatternsError, PredictionError, Unavailable, UserError, running
from mlpatterns.testing import FlakyModel, request

NAMES = (
    "ErrorCode", "MlpatternsError", "UserError", "WrongUse", "SettingsError", "NotOffered", "TableError", "UnknownName",
    "MissingExtra", "ModelFileError", "NoModelFile", "RegistryDown", "ArtifactsDown", "CompositionError", "InvalidSpec",
    "AddressInUse", "NotStarted", "PredictionError", "InvalidInput", "NotFound", "TooLarge", "Unsupported", "Denied",
    "Conflict", "RateLimited", "Overloaded", "Unavailable", "CircuitOpen", "DeadlineExceeded", "InternalError",
)  # fmt: skip


def error_code_example() -> None:
    assert Unavailable.code is ErrorCode.UNAVAILABLE
    assert ErrorCode.UNAVAILABLE.is_fault
    assert not ErrorCode.INVALID.is_fault


async def mlpatterns_error_example() -> None:
    model = FlakyModel(error=Unavailable("the model is being changed", retry_after=2))
    async with running(model):
        try:
            await model.predict(request([[1.0]]))
        except PredictionError as error:
            assert (error.code, error.message, error.retry_after) == ("UNAVAILABLE", "the model is being changed", 2)
    assert issubclass(UserError, MlpatternsError)
