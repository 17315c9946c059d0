"""The catalogue: the 26 systems of the book, headers parsed strictly, names forgiven, words found in two languages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from mlpatterns.catalog import MORE, System, find, get, read_pattern, systems
from mlpatterns.patterns.header import BLOCKS, GROUPS, KEYS, OPTIONAL, parse_header
from mlpatterns.server.app import App
from mlpatterns.user_errors import UnknownName, UserError

WHOLE = """Title

Need: a need
Group: serving
Book: chapter4_serving_patterns/x_pattern
Mercari: X
Japanese: エックス
When: one line
  and a second one
When not: never

Diagram:
    client ─▶ server
       ▲

Commands:
    mlpatterns run x
"""
BOOK = {
    "training": "cifar10 iris_binary iris_sklearn_outlier iris_sklearn_rf iris_sklearn_svc model_db",
    "release": "model_in_image model_load",
    "serving": "asynchronous batch data_cache edge_ai horizontal_microservice prediction_cache prep_pred sync_async "
    "synchronous web_single",
    "operations": "prediction_log prediction_monitoring",
    "management": "circuit_breaker condition_based load_test online_ab parameter_based shadow_ab",
}


def test_all_26_systems_of_the_book_are_known_by_group() -> None:
    found = {group: {s.name for s in systems() if s.header.group == group} for group in GROUPS}
    assert {group: found[group] & {*names.split()} for group, names in BOOK.items()} == {
        group: {*names.split()} for group, names in BOOK.items()
    }
    assert sum(len(names.split()) for names in BOOK.values()) == 26
    assert found.keys() == BOOK.keys()


def test_every_system_of_the_book_has_its_place_there_and_the_name_that_mercari_gives_it() -> None:
    for name in " ".join(BOOK.values()).split():
        header = get(name).header
        assert header.mercari, name
        assert header.book.startswith("chapter"), name
        assert header.book.count("/") == 1, name


def test_every_system_has_a_name_in_japanese() -> None:
    assert [system.name for system in systems() if system.header.japanese.isascii()] == []


@pytest.mark.parametrize("system", systems(), ids=lambda s: s.name)
def test_a_built_system_can_prove_its_claims_and_is_short_enough_to_read(system: System) -> None:
    assert "demo" in system.defines
    if system.header.group != "training":
        serves_predictions = isinstance(import_module(system.module).app, App)
        assert "build" in system.defines or not serves_predictions
    assert len(system.path.read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("system", systems(), ids=lambda s: s.name)
def test_a_built_system_imports_only_the_public_api(system: System) -> None:
    tree = ast.parse(system.path.read_text(encoding="utf-8"))
    ours = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlpatterns")
    }
    assert "mlpatterns" in ours <= {"mlpatterns", "mlpatterns.testing"}


# ---- headers -----------------------------------------------------------------------------------------------------


def test_a_whole_header_is_read_with_its_continued_line_and_its_blocks() -> None:
    header = parse_header(WHOLE, "x.py")
    assert (header.title, header.need, header.when) == ("Title", "a need", "one line and a second one")
    assert header.diagram == "client ─▶ server\n   ▲"
    assert header.commands == "mlpatterns run x"


def without(*keys: str) -> str:
    title, *parts = re.split(r"\n(?=[A-Z][a-z ]+:)", WHOLE)
    return "\n".join([title, *[part for part in parts if part.partition(":")[0] not in keys]])


@pytest.mark.parametrize("key", sorted({*KEYS, *BLOCKS} - {*OPTIONAL}))
def test_a_header_that_lacks_a_key_is_refused_with_its_name(key: str) -> None:
    with pytest.raises(UserError, match=f"x.py: the header lacks '{key}'"):
        parse_header(without(key), "x.py")


def test_a_system_that_is_in_no_book_has_no_name_there(tmp_path: Path) -> None:
    folder = tmp_path / "serving"
    folder.mkdir()
    (folder / "x.py").write_text(f'"""{without("Book", "Mercari")}"""')
    system = read_pattern(folder / "x.py")
    assert (system.header.book, system.header.mercari, system.aliases) == ("", "", ())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Need: a need", "Need:", "lacks 'Need'"),
        ("Mercari: X", "Mercari:", "lacks 'Mercari'"),
        ("Need: a need", "Needs: a need", "not one of its keys"),
        ("Need: a need", "a need", "not one of its keys"),
        ("Need: a need", "Need: a need\nNeed: another", "'Need' twice"),
        ("Group: serving", "Group: cooking", "'cooking' is not one of"),
        ("Need: a need\nGroup: serving", "Group: serving\nNeed: a need", "must come in the order"),
        ("Title\n\n", "Title\n", "begin with its title"),
    ],
)
def test_a_header_that_is_not_right_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_header(WHOLE.replace(old, new), "x.py")


def test_a_pattern_in_the_folder_of_another_group_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "x.py").write_text(f'"""{WHOLE}"""')
    with pytest.raises(UserError, match="its folder is 'training'"):
        read_pattern(folder / "x.py")


def test_a_file_that_is_no_python_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def (")
    with pytest.raises(UserError, match=r"x\.py cannot be read as Python"):
        read_pattern(tmp_path / "x.py")


def test_reading_a_pattern_runs_none_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "serving"
    folder.mkdir()
    (folder / "x.py").write_text(
        f'"""{WHOLE}"""\nfrom mlpatterns import Clock, Limit, chosen_model, serve\nraise SystemExit\n'
        "app = serve(None)\n"
    )
    system = read_pattern(folder / "x.py")
    assert system.pieces == ("Limit", "OnnxModel")
    assert system.defines == {"app"}


# ---- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("web_single", "web_single"),
        ("web-single", "web_single"),
        ("WEB_Single_Pattern", "web_single"),
        ("ｗｅｂ＿ｓｉｎｇｌｅ", "web_single"),
        ("paramater_based_pattern", "parameter_based"),
        ("Webシングルパターン", "web_single"),
        (" iris-sklearn-svc ", "iris_sklearn_svc"),
    ],
)
def test_a_system_is_found_by_every_way_of_writing_its_name(written: str, name: str) -> None:
    assert get(written).name == name


@pytest.mark.parametrize(
    ("written", "near"),
    [("web_singel", "web_single"), ("async", "asynchronous"), ("推論ログ", "prediction_log"), ("shadow", "shadow_ab")],
)
def test_a_misspelt_name_gets_a_suggestion(written: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"did you mean '{near}'"):
        get(written)


def test_a_name_like_none_says_where_the_names_are() -> None:
    with pytest.raises(UnknownName, match="`mlpatterns list` shows all"):
        get("qqqqqq")


# ---- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("cache", "data_cache"),
        ("batch", "batch"),
        ("バッチ", "batch"),
        ("ﾊﾞｯﾁ", "batch"),
        ("shadow", "shadow_ab"),
        ("Microservice Horizontal", "horizontal_microservice"),
        ("drifted", "prediction_monitoring"),
        ("推論 ログ", "prediction_log"),
    ],
)
def test_the_best_match_comes_first_in_either_language(word: str, first: str) -> None:
    assert find(word)[0].name == first


@pytest.mark.parametrize("word", ["qqq", "", "  ", "batch qqq"])
def test_what_nothing_is_about_finds_nothing(word: str) -> None:
    assert find(word) == []


def test_words_on_when_to_use_a_system_are_searched_last() -> None:
    assert "web_single" in [system.name for system in find("one process")]


@pytest.mark.parametrize(("word", "name"), [
    ("canary", "online_ab"), ("feature flag", "parameter_based"), ("task queue", "asynchronous"),
    ("mirror", "shadow_ab"), ("drift", "prediction_monitoring"), ("model registry", "model_db"),
    ("on device", "edge_ai"), ("fallback", "circuit_breaker"),
])  # fmt: skip
def test_what_people_call_a_system_finds_it_first(word: str, name: str) -> None:
    assert find(word)[0].name == name


def test_every_system_has_a_whole_table_of_its_own_and_there_is_no_other() -> None:
    tables = tomllib.loads(MORE.read_text(encoding="utf-8"))
    assert tables.keys() == {system.name for system in systems()}
    fields = {"need_ja", "called", "keeps"}
    assert [name for name, own in tables.items() if own.keys() != fields or not all(own.values())] == []


def test_the_catalogue_imports_neither_numpy_nor_any_pattern() -> None:
    code = (
        "import sys, mlpatterns.catalog as c; c.systems(); "
        "print([m for m in sys.modules if m in ('numpy', 'sklearn', 'onnxruntime') or '.serving' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_system_takes_another_model_if_it_asks_which_is_chosen() -> None:
    served = {system.name: system.takes_model for system in systems() if "app" in system.defines}
    assert served["web_single"]
    assert not served["horizontal_microservice"]


@pytest.mark.parametrize("system", systems(), ids=lambda s: s.name)
def test_commands_train_what_the_system_serves_before_they_run_it(system: System) -> None:
    source = system.path.read_text(encoding="utf-8")
    trained = re.findall(r'(?:chosen_model|HotSwap|[^.\w]OnnxModel)\("(\w+)"\)', source.partition("app = serve")[0])
    before = source.partition("Commands:\n")[2].partition("mlpatterns run ")[0]
    assert set(trained) <= set(re.sub(r"mlpatterns train ", "", before).split())
