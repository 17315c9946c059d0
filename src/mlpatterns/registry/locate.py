"""From a model reference to verified files.

The registry is asked by a child process (`mlpatterns.model_db.lookup`), so that a server never imports SQLAlchemy: its
memory belongs to the child, which ends. The question goes in by stdin, because a URL may hold a password and a command
line is public.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mlpatterns.errors import ModelFileError, UserError
from mlpatterns.redaction import redact
from mlpatterns.references import FileReference, Reference, RegisteredReference, parse_reference
from mlpatterns.registry.files import METADATA, MODEL, ModelFiles, bare, load_metadata, verify
from mlpatterns.registry.question import Answer, Failure, Question, unknown_model
from mlpatterns.registry.urls import artifacts_root, default_url, sqlite_file

__all__ = ["locate"]

PATIENCE = 30.0  # seconds for the child; a database that is down answers within its own 5
CHILD = (sys.executable, "-P", "-m", "mlpatterns.model_db.lookup")


def locate(reference: Reference | str, *, home: Path, url: str | None = None) -> ModelFiles:
    """Finds a model and checks its files against their SHA-256. Blocks for a quarter of a second: call it in a thread.

    Args:
        reference: a reference or its text.
        home: the folder under which artifacts are stored.
        url: the registry; by default the SQLite file of `home`.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        MissingExtra: the registry's drivers are not installed.
        UserError: the registry cannot be reached, or the text is no reference.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed, FileReference):
        return bare(parsed.path)
    return _registered(parsed, home, url or default_url(home))


def _registered(reference: RegisteredReference, home: Path, url: str) -> ModelFiles:
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise unknown_model(reference.name).error()
    answer = _ask(Question(url, reference.name, reference.alias, reference.version))
    what = f"{reference.name}:{answer.version}"
    folder = _folder(artifacts_root(home), answer.folder, what)
    manifest = verify(folder, what=what, sha256=answer.manifest_sha256)
    version = str(answer.version)
    metadata = replace(load_metadata(folder / METADATA), name=reference.name, version=version)
    return ModelFiles(folder / MODEL, folder, manifest.files[MODEL].sha256, reference.name, version, metadata)


def _folder(root: Path, stored: str, what: str) -> Path:
    folder = root / stored
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ModelFileError(f"{what} is registered outside the artifacts of this home")
    if not folder.is_dir():
        raise ModelFileError(f"{what} is registered, but its files are not in this MLPATTERNS_HOME; train it again")
    return folder


def _ask(question: Question) -> Answer:
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module, no text from outside
            CHILD, input=msgspec.json.encode(question), capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"the registry at {redact(question.url)} did not answer in {PATIENCE:.0f} s") from error
    try:
        answer = msgspec.json.decode(child.stdout, type=Answer | Failure)
    except msgspec.MsgspecError as error:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise UserError(f"the registry at {redact(question.url)} could not be read: {last[0]}") from error
    if isinstance(answer, Failure):
        raise answer.error()
    return answer
