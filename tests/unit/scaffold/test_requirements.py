"""What a project requires, from what its app imports."""

from __future__ import annotations

import pytest

from mlpatterns import __version__
from mlpatterns.scaffold.requirements import requirement, version
from mlpatterns.user_errors import UserError


def test_the_standard_library_and_what_mlpatterns_always_brings_need_no_extra() -> None:
    assert requirement({"pathlib", "__future__", "mlpatterns", "numpy"}) == f"mlpatterns>={version()}"


def test_what_an_extra_brings_is_asked_for_by_its_extra() -> None:
    assert requirement({"PIL", "numpy", "sklearn"}) == f"mlpatterns[image,train]>={version()}"


@pytest.mark.parametrize("module", ["ruff", "nowhere_to_be_found"])
def test_what_nothing_brings_is_refused(module: str) -> None:
    with pytest.raises(UserError, match=f"imports {module}, which mlpatterns does not install"):
        requirement({module})


def test_the_least_version_is_the_one_that_made_the_project() -> None:
    assert __version__.startswith(f"{version()}.")
