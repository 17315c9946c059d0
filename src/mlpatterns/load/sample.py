"""The sample request of an mlpatterns server, taken from its metadata."""

from __future__ import annotations

from urllib.parse import urlunsplit

import msgspec

from mlpatterns.load.target import Target, parse_url
from mlpatterns.user_errors import UserError

__all__ = ["base_url", "sample_target"]

IMAGE = "base64 encoded image file"  # the text in `/metadata` in place of an image


def base_url(url: str) -> str:
    """The server's address: `url` without `/predict` or `/predict/label` at its end."""
    parts = parse_url(url)
    path = parts.path.rstrip("/").removesuffix("/label").removesuffix("/predict")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def sample_target(url: str, metadata: str, headers: tuple[tuple[str, str], ...] = ()) -> Target:
    """A POST of the sample in `/metadata`. If it shows no sample, as for an image, a GET of `/predict/test`, which
    also predicts for the sample.

    Args:
        url: of the server, or of its `/predict` or `/predict/label`.

    Raises:
        UserError: `metadata` does not come from an mlpatterns server.
    """
    try:
        said = msgspec.json.decode(metadata, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UserError(
            f"{base_url(url)}/metadata is not that of an mlpatterns server; give --method or a body"
        ) from None
    label = "/label" if parse_url(url).path.rstrip("/").endswith("/predict/label") else ""
    sample = said.get("data_sample", IMAGE)
    if sample == IMAGE:
        return Target(f"{base_url(url)}/predict/test{label}", "GET", headers)
    return Target(f"{base_url(url)}/predict{label}", "POST", headers, msgspec.json.encode({"data": sample}))
