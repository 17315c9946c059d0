"""The rows of a batch run that failed, as a CSV file beside its results: key, code and error."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlpatterns.errors import Unavailable
from mlpatterns.stores.batch import Column, Failure
from mlpatterns.stores.batch.files import GrowingFile

__all__ = ["ErrorFile", "csv_lines"]

MOST_READ = 2**20  # bytes of the file that `read` reads at most


class ErrorFile:
    """The file of failed rows, which is created when the first row fails.

    Attributes:
        size: the number of bytes that the next checkpoint covers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: GrowingFile | None = None
        self.size = 0

    def open(self, key: Column, size: int) -> None:
        self.close()
        self._key, self.size = key.name, size
        if size:
            self._file = GrowingFile(self._path)
            self._file.cut(size)
        else:
            self._path.unlink(missing_ok=True)

    def append(self, failures: Sequence[Failure]) -> None:
        if not failures:
            return
        rows: list[Sequence[Any]] = [[each.key, each.code, each.error] for each in failures]
        if self._file is None:
            self._file = GrowingFile(self._path)
            self._file.cut(0)
            rows.insert(0, [self._key, "code", "error"])
        self.size = self._file.append(csv_lines(rows))

    def read(self, limit: int, size: int) -> list[Failure]:
        """The first `limit` failures in the first `size` bytes, which are those that the checkpoint covers."""
        if not size:
            return []
        try:
            with self._path.open("rb") as file:
                text = file.read(min(size, MOST_READ)).decode(errors="replace")
        except OSError as error:
            raise Unavailable(f"{self._path.name} cannot be read") from error
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == 3]
        return [Failure(*row) for row in rows[1 : limit + 1]]

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")
