"""log: the records of one system, newest last, for people and for programs; what cannot be read is one sentence."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.logs import record, said
from mlpatterns.cli import log_pages as command
from mlpatterns.stores.log_sqlite import SqliteLog
from unit.cli.conftest import Command


def written(home: Path, *records: Any, feedback: Any = ()) -> None:
    async def main() -> None:
        store = await SqliteLog.open(f"sqlite:///{home / 'log.db'}")
        await store.write(records)
        await store.add_feedback(feedback)
        await store.close()

    asyncio.run(main())


def of(number: int, path: str = "web_single/iris", **fields: Any) -> Any:
    return replace(record(number), at=time.time() - 60 * (10 - number), path=path, **fields)


def ids(out: str) -> list[str]:
    return [json.loads(line)["prediction_id"] for line in out.splitlines()]


def test_the_records_of_the_system_are_lines_of_json_with_their_feedback(mlpatterns: Command, home: Path) -> None:
    written(
        home, of(1, outputs={"p": [[0.5]]}), of(2, "other/iris"), of(3, "web_single_2/iris"), of(4),
        feedback=[said("id-1", "label", "setosa"), said("id-1", "useful", True)],
    )  # fmt: skip
    done = mlpatterns("log", "web_single", "--json")
    assert (done.code, done.err) == (0, "")
    first, second = [json.loads(line) for line in done.out.splitlines()]
    assert (first["prediction_id"], first["outputs"], first["status"]) == ("id-1", {"p": [[0.5]]}, "done")
    assert first["feedback"] == {"label": "setosa", "useful": True}
    assert (second["prediction_id"], second["feedback"]) == ("id-4", {})


def test_the_newest_are_shown_in_order_and_0_is_all(mlpatterns: Command, home: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "PAGE", 2)
    written(home, *[of(n) for n in range(7)])
    assert ids(mlpatterns("log", "web_single", "--json", "--limit", "2").out) == ["id-5", "id-6"]
    assert len(ids(mlpatterns("log", "web_single", "--json", "--limit", "0").out)) == 7


@pytest.mark.parametrize(("since", "found"), [("150s", 2), ("2.5m", 2), ("1h", 10), ("1d", 10), ("1s", 0)])
def test_since_is_an_age_or_a_time(mlpatterns: Command, home: Path, since: str, found: int) -> None:
    written(home, *[of(n) for n in range(10)])
    assert len(ids(mlpatterns("log", "web_single", "--json", "--since", since).out)) == found
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 150))
    assert len(ids(mlpatterns("log", "web_single", "--json", "--since", at).out)) == 2


def test_a_log_without_records_of_the_system_says_so(mlpatterns: Command, home: Path) -> None:
    written(home, of(1))
    done = mlpatterns("log", "circuit_breaker", "--json")
    assert (done.code, done.out) == (0, "")
    assert "there is no record of circuit_breaker in sqlite:///" in done.err
    assert "in sqlite:///" in (err := mlpatterns("log", "web_single", "--since", "1s").err)
    assert err.endswith("since then\n")


def test_people_get_a_table_in_which_nothing_moves_the_cursor(mlpatterns: Command, home: Path) -> None:
    written(
        home,
        of(1, inputs={"input": [[5.099999904632568, 3.5]]}, outputs={"p": [[0.1]]}),
        of(2, status="failed", code="INVALID", error="\x1b[2Jbad\u009b", purpose="test", model=""),
        of(3, inputs={"a": ["x" * 200], "b": [1]}, role="shadow"),
        feedback=[said("id-1", "label", "\x1b[31m")],
    )
    done = mlpatterns("log", "web_single")
    assert "[[5.1,3.5]]" in done.out
    assert "iris:1" in done.out
    assert 'label="\\u001b[31m"' in done.out
    assert '"INVALID: \\u001b[2Jbad\\u009b"' in done.out
    assert "failed (test)" in done.out
    assert "done shadow" in done.out
    assert all(32 <= ord(c) < 127 or c in "\n…" for c in done.out)
    assert "x" * 100 not in done.out


def test_follow_goes_on_with_what_comes(mlpatterns: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(home, of(1), of(2))
    looks = 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt
        store = await SqliteLog.open(f"sqlite:///{home / 'log.db'}")
        await store.write([of(2 + looks), of(9, "other/iris")])
        await store.close()

    monkeypatch.setattr(command.asyncio, "sleep", sleep)  # type: ignore[attr-defined]
    done = mlpatterns("log", "web_single", "--json", "--follow", "--limit", "1")
    assert (done.code, ids(done.out)) == (130, ["id-2", "id-3", "id-4"])


def test_a_file_of_ones_own_is_known_by_the_names_of_what_it_serves(mlpatterns: Command, home: Path) -> None:
    written(home, of(1, "mine"), of(2, "mine/inner"), of(3, "other"))
    Path("served.py").write_text(
        "from mlpatterns import serve\nfrom mlpatterns.testing import CountingModel\n"
        "app = serve(lambda: CountingModel('mine'))\n"
    )
    assert ids(mlpatterns("log", "served.py", "--json").out) == ["id-1", "id-2"]


def test_the_setting_system_is_the_name_then(mlpatterns: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_SYSTEM", "other")
    written(home, of(1), of(2, "other/iris"))
    assert ids(mlpatterns("log", "web_single", "--json").out) == ["id-2"]


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (("web_single",), 1, "there is no log at sqlite:///"),
        (("web_singel",), 2, "did you mean 'web_single'"),
        (("web_single", "--since", "yesterday"), 2, "--since 'yesterday' is not a time: write 90s, 30m"),
        (("web_single", "--log", "memory://"), 1, "only in the memory of the server"),
        (("web_single", "--log", "stdout://"), 1, "lines of JSON, which this command does not read"),
        (("web_single", "--log", "file:///x.jsonl"), 1, "use jq, tail -f"),
        (("web_single", "--log", "kafka://x"), 2, "there is no LogStore for kafka://"),
        (("web_single", "--log", "sqlite:////dev/null"), 1, "the log file null cannot be used"),
        (("web_single", "--limit", "-1"), 2, "invalid value for '--limit'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    mlpatterns: Command, flags: tuple[str, ...], code: int, sentence: str
) -> None:
    done = mlpatterns("log", *flags)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1


def test_looking_makes_no_log(mlpatterns: Command, home: Path) -> None:
    mlpatterns("log", "web_single")
    assert not (home / "log.db").exists()
