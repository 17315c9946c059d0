"""list, find, show, settings: what they print, and what they say when a name is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mlpatterns.catalog import GROUPS, systems
from mlpatterns.interfaces import ControlStore
from mlpatterns.stores import open_store
from unit.cli.conftest import Command


def test_list_prints_every_name_whole_a_line_each(mlpatterns: Command) -> None:
    done = mlpatterns("list")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == [system.name for system in systems()]
    assert "horizontal_microservice" in done.out
    assert "\x1b" not in done.out


def test_list_can_be_cut_to_a_group(mlpatterns: Command) -> None:
    listed = [line.split()[0] for line in mlpatterns("list", "--group", "release").out.splitlines()]
    assert listed == [system.name for system in systems() if system.header.group == "release"]
    assert "model_load" in listed


def test_an_unknown_group_is_wrong_use(mlpatterns: Command) -> None:
    done = mlpatterns("list", "--group", "servng")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "mlpatterns: there is no group 'servng'; did you mean 'serving'? There is management, operations, release, "
        "serving, training\n"
    )
    assert "serving" in GROUPS


@pytest.mark.parametrize(
    ("word", "system"),
    [("rollback", "model_load"), ("ロールバック", "model_load"), ("canary", "online_ab"), ("カナリア", "online_ab"),
     ("drift", "prediction_monitoring"), ("ドリフト", "prediction_monitoring"), ("blue/green", "model_load"),
     ("ブルーグリーン", "model_load"), ("再学習", "iris_sklearn_svc"), ("retraining", "iris_sklearn_svc"),
     ("負荷試験", "load_test"), ("負荷テスト", "load_test"), ("量子化", "edge_ai"), ("quantization", "edge_ai"),
     ("回路遮断", "circuit_breaker"), ("リトライ", "circuit_breaker"), ("レート制限", "circuit_breaker"),
     ("failover", "circuit_breaker"), ("フェイルオーバー", "circuit_breaker"), ("精度劣化", "prediction_monitoring"),
     ("kubernetes", "model_in_image")],
)  # fmt: skip
def test_find_knows_what_people_call_them(mlpatterns: Command, word: str, system: str) -> None:
    assert mlpatterns("find", word).out.startswith(f"{system} ")


def test_find_guesses_what_was_meant(mlpatterns: Command) -> None:
    done = mlpatterns("find", "rolback")
    assert done.err == (
        "mlpatterns: no system matches 'rolback'; did you mean 'rollback'? `mlpatterns list` shows all systems\n"
    )


@pytest.mark.parametrize("word", ["バッチ", "ﾊﾞｯﾁ", "batch", "schedule"])
def test_find_knows_both_languages(mlpatterns: Command, word: str) -> None:
    assert mlpatterns("find", word).out.startswith("batch ")


def test_find_says_in_one_sentence_that_there_is_nothing(mlpatterns: Command) -> None:
    done = mlpatterns("find", "qqq", "www")
    assert done.code == 1
    assert done.err == "mlpatterns: no system matches 'qqq www'; `mlpatterns list` shows all systems\n"


def test_show_prints_need_diagram_and_commands(mlpatterns: Command) -> None:
    done = mlpatterns("show", "Web-Single-Pattern")
    assert done.code == 0
    for text in ("Put one model behind one web server", "─▶", "mlpatterns run web_single", "Webシングルパターン",
                 "Keeps       Nothing."):  # fmt: skip
        assert text in done.out


def test_show_prints_the_source_on_request(mlpatterns: Command) -> None:
    assert mlpatterns("show", "web_single", "--source").out.startswith('"""Web single\n')


def test_show_knows_the_books_names(mlpatterns: Command) -> None:
    done = mlpatterns("show", "paramater_based_pattern")
    assert done.code == 0
    assert "chapter6_operation_management/paramater_based_pattern" in done.out


@pytest.mark.parametrize("command", ["show", "run", "demo", "train"])
def test_a_misspelt_name_gets_a_suggestion_and_exit_code_2(mlpatterns: Command, command: str) -> None:
    done = mlpatterns(command, "web_singel")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "did you mean 'web_single'" in done.err


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    "command", ["", "list", "find", "show", "train", "run", "demo", "up", "new", "predict", "settings"]
)
def test_every_command_explains_itself(mlpatterns: Command, command: str, flag: str) -> None:
    done = mlpatterns(*[command] if command else [], flag)
    assert done.code == 0
    assert "Usage: mlpatterns" in done.out


def test_without_a_command_the_help_is_shown_and_it_is_wrong_use(mlpatterns: Command) -> None:
    done = mlpatterns()
    assert done.code == 2
    assert "Usage: mlpatterns" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lst",), "no such command 'lst'"),
        (("find",), "missing argument 'WORD…'; see `mlpatterns find --help`"),
        (("run", "web_single", "--nonsense"), "no such option: --nonsense"),
        (("run", "web_single", "--port", "http"), "invalid value for '--port'"),
        (
            ("run", "web_single", "--port", "70000"),
            "it must be a whole number from 0 to 65535",
        ),
        (("run", "web_single", "--log-format", "xml"), "log_format (flag): 'xml' is not valid"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    mlpatterns: Command, arguments: tuple[str, ...], said: str
) -> None:
    done = mlpatterns(*arguments)
    assert done.code == 2
    assert done.err.startswith("mlpatterns: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_the_version_is_shown(mlpatterns: Command) -> None:
    from mlpatterns import __version__

    assert mlpatterns("--version").out == f"mlpatterns {__version__}\n"


def test_settings_show_value_and_source_and_no_secret(mlpatterns: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mlpatterns.toml").write_text("port = 9001\n")
    monkeypatch.setenv("MLPATTERNS_API_KEYS", "ann=hunter2")
    monkeypatch.setenv("MLPATTERNS_REGISTRY", "postgresql://me:hunter2@db/models")
    done = mlpatterns("settings")
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert rows["port"].split()[1:] == ["9001", "mlpatterns.toml"]
    assert rows["host"].split()[1:] == ["127.0.0.1", "default"]
    assert rows["api_keys"].split()[1:] == ["(set)", "environment"]
    assert "hunter2" not in done.out


def test_settings_of_a_target_say_which_parameters_hold(mlpatterns: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the start, until a command sets others; and where the start has changed since."""
    monkeypatch.setenv("MLPATTERNS_CONTROL", "sqlite:///control.db")
    monkeypatch.setenv("MLPATTERNS_THRESHOLD_SETOSA", "0.25")
    started = mlpatterns("settings", "parameter_based").out.splitlines()
    assert [line.split()[-2:] for line in started if "setosa" in line] == [["0.25", "start"], ["1", "start"]]
    start = {"thresholds": {"setosa": 0.25}, "active": {"setosa": True}, "timeout": 10.0, "retries": 1}
    value = {"values": {**start, "thresholds": {"setosa": 0.75}}, "replaced": start}

    async def set_by_a_command() -> None:
        store: ControlStore = await open_store(ControlStore, "sqlite:///control.db")  # type: ignore[type-abstract]
        await store.put("parameter_based/parameter_based/parameters", value, expected=None, by="ann")
        await store.close()

    asyncio.run(set_by_a_command())
    assert "0.75  command, revision 1 by ann" in mlpatterns("settings", "parameter_based").out
    monkeypatch.setenv("MLPATTERNS_THRESHOLD_SETOSA", "0.5")
    done = mlpatterns("settings", "parameter_based")
    assert "0.75  command, revision 1 by ann" in done.out
    assert "starts as 0.5, a command replaced 0.25 by 0.75, now in force" in done.err
    assert "`mlpatterns run parameter_based --reset-shared` resets" in done.err


def test_settings_of_a_target_without_parameters_is_one_sentence(mlpatterns: Command) -> None:
    done = mlpatterns("settings", "web_single")
    assert done.code == 2
    assert "web_single has no parameters" in done.err


def test_looking_at_parameters_makes_no_home(mlpatterns: Command) -> None:
    assert mlpatterns("--home", "elsewhere", "settings", "parameter_based").code == 0
    assert not Path("elsewhere").exists()


def test_home_can_be_given_before_the_command(mlpatterns: Command) -> None:
    assert "elsewhere" in mlpatterns("--home", "elsewhere", "settings").out


def test_a_misspelt_setting_is_wrong_use(mlpatterns: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_PROT", "9")
    done = mlpatterns("settings")
    assert done.code == 2
    assert "did you mean 'MLPATTERNS_PORT'" in done.err


def test_a_home_where_nothing_can_be_made_is_one_sentence(mlpatterns: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mlpatterns("--home", str(tmp_path / "file" / "home"), "demo", "iris_sklearn_svc")
    assert done.code == 1
    assert "cannot be written: Not a directory; set MLPATTERNS_HOME" in done.err
    assert " failed: " not in done.err
