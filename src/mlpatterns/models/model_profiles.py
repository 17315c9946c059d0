"""ModelProfiles: the profiles of the training data of each version of a model."""

from __future__ import annotations

import logging
import re

from mlpatterns.analysis.profile import DataProfile
from mlpatterns.models.files import find_model_files
from mlpatterns.predictor import Runtime
from mlpatterns.references import Reference, RegisteredReference, parse_reference
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.profiles import read_profile
from mlpatterns.user_errors import ModelFileError, UnknownName

__all__ = ["ModelProfiles"]

log = logging.getLogger("mlpatterns")


class ModelProfiles:
    """The profiles that a `Monitor` compares requests with: ``Monitor(…, profiles=ModelProfiles("iris_sklearn_svc"))``.

    A registered model has one profile for each version. For a model file, it is the profile file beside it.

    Args:
        reference: the reference of the model.
    """

    def __init__(self, reference: str | Reference) -> None:
        self.reference = parse_reference(reference) if isinstance(reference, str) else reference

    async def of(self, version: str, runtime: Runtime) -> DataProfile | None:
        """The profile of a version; None if there is no such version, or its profile is missing or cannot be read.

        Raises:
            RegistryDown: the registry does not answer now.
        """
        try:
            files = await self._files(version, runtime)
            return await runtime.offload(lambda: read_profile(files)) if files.version == version else None
        except (UnknownName, ModelFileError) as error:
            log.warning("%s: version %s has no profile that can be read: %s", runtime.path, version, error)
            return None

    async def _files(self, version: str, runtime: Runtime) -> ModelFiles:
        reference = self.reference
        if isinstance(reference, RegisteredReference) and re.fullmatch(r"[1-9][0-9]{0,8}", version):
            reference = RegisteredReference(reference.name, version=int(version))
        return await find_model_files(reference, runtime)
