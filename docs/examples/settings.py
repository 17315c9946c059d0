"""Settings.

Defaults, then `mlpatterns.toml`, then the environment, then flags: the last one that says something holds.
[operations.md](operations.md#settings) says more of each.
"""

from __future__ import annotations

from pathlib import Path

from mlpatterns import Settings, load_settings, running
from mlpatterns.testing import CountingModel

NAMES = ("Settings", "load_settings")


async def settings_example() -> None:
    settings = Settings(home=Path("elsewhere"), control="memory://", max_concurrency=4)
    async with running(CountingModel(), settings=settings) as app:
        assert app.settings.max_concurrency == 4
    assert settings.log_url.endswith("elsewhere/log.db")


def load_settings_example() -> None:
    Path("mlpatterns.toml").write_text('port = 9000\nlog_level = "debug"\n')
    loaded = load_settings(flags={"port": 9001}, environ={"MLPATTERNS_WORKERS": "4"})
    assert (loaded.settings.port, loaded.settings.log_level, loaded.settings.workers) == (9001, "debug", 4)
    assert loaded.sources == {"port": "flag", "log_level": "mlpatterns.toml", "workers": "environment"}
