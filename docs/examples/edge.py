"""In the browser.

A site that predicts on the device of who looks at it.
"""

from __future__ import annotations

from mlpatterns import EdgeModel, EdgeSite
from mlpatterns.testing import client

NAMES = ("EdgeModel", "EdgeSite")


def edge_model_example() -> None:
    model = EdgeModel("small", "Small, and at once", "digits_fast", int8=True)
    assert EdgeModel.fast("digits_fast").int8 == model.int8


async def edge_site_example() -> None:
    async with client(EdgeSite(EdgeModel.fast("digits_fast"))) as http:
        page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
