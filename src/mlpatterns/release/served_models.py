"""Lists the models that an app serves. It runs in a separate process, which isolates the app's imports.

`python -m mlpatterns.release.served_models FILE.py` prints the models as JSON, without starting or loading them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.user_errors import UserError

__all__ = ["ServedModel", "served_models"]


class ServedModel(Struct, frozen=True):
    """A model of an app: its served name, and its reference in the app."""

    name: str
    reference: str


def served_models(file: Path) -> list[ServedModel]:
    """The models of an app that are files or registered, in the order in which they start.

    Raises:
        UserError: the app cannot be built, or is not an app of mlpatterns; the text is what the process wrote to
            standard error.
    """
    words = [sys.executable, "-m", "mlpatterns.release.served_models", file.name]
    # Without these settings, no part of the app is replaced by a remote one. No bytecode, because it would get into the
    # build context.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLPATTERNS_SERVICE")}
    environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(  # noqa: S603 - our own command
        words,
        cwd=file.parent,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise UserError(done.stderr.strip() or f"the models of {file} cannot be listed")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[ServedModel])


def _leaves(target: str) -> Iterator[ServedModel]:
    from mlpatterns.base import reference_of
    from mlpatterns.launch.target import load_target
    from mlpatterns.runtime import leaves_first, roots_of
    from mlpatterns.server.app import App

    app = load_target(target)
    if not isinstance(app, App):
        raise UserError(
            f"{target} is not an app of mlpatterns: what it serves is not known, so no image can be made of it"
        )
    built = app.build()
    for predictor in leaves_first(*roots_of(built)):
        reference = reference_of(predictor)
        if reference is not None:
            yield ServedModel(predictor.name, str(reference))


def main() -> int:
    """Prints the models; prints an error to standard error and returns 1."""
    try:
        print(msgspec.json.encode(list(_leaves(sys.argv[1]))).decode())  # noqa: T201 - this is its output
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
