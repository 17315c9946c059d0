"""What the tests of swapping serve: the releases of a registry, looked for often."""

from __future__ import annotations

from mlpatterns import HotSwap, serve

app = serve(lambda: HotSwap("times", check_every=0.05))
