"""The Dockerfile of the projects that `new` makes, and of the images that `image build` builds.

The two differ in the source of the packages: an index that the build queries, or wheels in the build context.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from mlpatterns.scaffold.render import fill_template

__all__ = ["DEFAULT_BASE", "containerfile", "of_a_project", "of_wheels"]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
DEFAULT_BASE = f"python:{PYTHON}-slim"
FROM_INDEX = """\
ARG MLPATTERNS=mlpatterns
RUN python3 -m venv /venv
COPY pyproject.toml README.md *.whl ./
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check "${MLPATTERNS}" ."""
OTHER = f"the wheels are for Python {PYTHON}, and this base has another: build with that of the base, or name a base"
# Bytecode is validated by the hash of the source, not by its time, so that equal packages give equal bytes.
FROM_WHEELS = """\
COPY requirements.txt ./
COPY wheels wheels
RUN python3 -c "import sys; sys.exit(sys.version_info[:2] != (%%python) and '%%other')" \\
 && python3 -m venv --without-pip /venv \\
 && /venv/bin/python wheels/%%pip/pip install --no-index --find-links wheels --no-deps --require-hashes --no-compile \\
      --no-cache-dir --disable-pip-version-check --no-warn-script-location --requirement requirements.txt \\
 && PYTHONHASHSEED=0 /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /venv/lib \\
 && find /venv -exec touch --no-dereference --date=@%%epoch {} +"""


def containerfile(install: str, copy: str, *, base: str = DEFAULT_BASE, file: str = "app.py") -> str:
    """The text of a Dockerfile.

    Args:
        install: the instructions that make ``/venv``.
        copy: the instructions that copy the app and its models to ``/app``.
        base: the base image of both stages.
        file: the name of the served file.
    """
    return fill_template("Dockerfile.in", {"base": base, "install": install, "copy": copy, "file": file})


def of_a_project() -> str:
    """The Dockerfile of a project, whose packages come from an index."""
    return containerfile(FROM_INDEX, "COPY app.py ./\nCOPY models models")


def of_wheels(pip: str, epoch: int, *, base: str, file: str, labels: Mapping[str, str]) -> str:
    """The Dockerfile for a build context with ``requirements.txt``, ``wheels``, and the app and its models in ``app``.

    Args:
        pip: the file name of the wheel that installs the others.
        epoch: the time of all files, in seconds since 1970.
        labels: the labels of the image.
    """
    version = PYTHON.split(".")
    install = FROM_WHEELS.replace("%%python", ", ".join(version)).replace("%%other", OTHER)
    install = install.replace("%%pip", pip).replace("%%epoch", str(epoch))
    said = " \\\n      ".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(labels.items()))
    return containerfile(install, f"COPY app ./\nLABEL {said}", base=base, file=file)


def _quoted(text: str) -> str:
    """Quotes a text for an instruction, so that variables, quotes and line breaks in it have no effect."""
    plain = " ".join(text.split())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
