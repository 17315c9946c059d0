"""Evidence.

What the `demo` of a system gives: claims, each with what was measured.
"""

from __future__ import annotations

from mlpatterns import Evidence, Row
from mlpatterns.testing import CountingModel, client

NAMES = ("Evidence", "Row")


async def evidence_example() -> None:
    async with client(model := CountingModel()) as http:
        await http.post("/predict", json={"data": [[1, 2]]})
    found = Evidence("counting", (Row("a request is one call", "1", f"{model.calls}", model.calls == 1),))
    assert found.holds


def row_example() -> None:
    row = Row("an answer takes a millisecond", "<= 1 ms", "1.4 ms", holds=False)
    assert not Evidence("slow", (row,)).holds
