"""Settings: which source wins, what a mistake is answered with, what is never shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.settings import SETTINGS_FILE, LoadedSettings, Settings, cpus, load_settings, service_url
from mlpatterns.user_errors import SettingsError, UnknownName, UserError


def write(folder: Path, text: str) -> Path:
    (folder / SETTINGS_FILE).write_text(text)
    return folder


def test_the_defaults_suit_a_laptop(tmp_path: Path) -> None:
    loaded = load_settings(environ={}, folder=tmp_path)
    assert loaded.settings == Settings()
    assert loaded.sources == {}
    assert loaded.settings.host == "127.0.0.1"
    assert loaded.settings.registry_url.startswith("sqlite:///")
    assert loaded.settings.thread_count >= 4
    assert cpus() >= 1


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'port = 1\nworkers = 1\nhost = "::1"\n')
    environ = {"MLPATTERNS_PORT": "2", "MLPATTERNS_WORKERS": "2", "HOME": "/"}
    loaded = load_settings({"port": 3, "host": None}, environ, tmp_path)
    assert (loaded.settings.port, loaded.settings.workers, loaded.settings.host) == (3, 2, "::1")
    assert loaded.sources == {"port": "flag", "workers": "environment", "host": SETTINGS_FILE}


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("ACCESS_LOG", "true", True),
        ("ACCESS_LOG", "0", False),
        ("REQUEST_TIMEOUT", "2.5", 2.5),
        ("HOME", "/tmp/x", Path("/tmp/x")),
        ("CONTEXT_HEADERS", "a, b,,", ("a", "b")),
        ("API_KEYS", "alice = k1 ,bob=k=2", {"alice": "k1", "bob": "k=2"}),
        ("LOG_FORMAT", "json", "json"),
        ("SERVICE", "setosa", "setosa"),
        *(("ACCESS_LOG", word, True) for word in ("yes", "On", "TRUE", "1", " true ")),
        *(("ACCESS_LOG", word, False) for word in ("no", "OFF", "False", "0")),
        ("LOG_LEVEL", "INFO", "info"),
        ("EXTRA_COLUMNS", "Ignore", "ignore"),
        ("PROGRAMS", "OFF", "off"),
        ("WORKERS", " 4 ", 4),
        ("MAX_ELEMENTS", "1_000_000", 1_000_000),
        ("MAX_BODY_BYTES", "64MiB", 64 * 2**20),
        ("MAX_HELD_BYTES", "1 GB", 10**9),
        ("CORS_ORIGINS", "https://a.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
    ],
)
def test_text_becomes_what_the_field_is(variable: str, text: str, expected: Any, tmp_path: Path) -> None:
    environ = {f"MLPATTERNS_{variable}": text}
    assert getattr(load_settings(environ=environ, folder=tmp_path).settings, variable.lower()) == expected


def test_a_mounted_secret_is_read_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "keys"
    secret.write_text("alice=k1\n")
    loaded = load_settings(environ={"MLPATTERNS_API_KEYS_FILE": str(secret)}, folder=tmp_path)
    assert loaded.settings.api_keys == {"alice": "k1"}
    with pytest.raises(SettingsError, match="the file that MLPATTERNS_API_KEYS_FILE names cannot be read"):
        load_settings(environ={"MLPATTERNS_API_KEYS_FILE": str(tmp_path / "none")}, folder=tmp_path)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MLPATTERNS_PORTS": "1"}, "did you mean 'MLPATTERNS_PORT'"),
        ({"MLPATTERNS_LOGLEVEL": "info"}, "did you mean 'MLPATTERNS_LOG_LEVEL'"),
        ({"MLPATTERNS_SERVICE_URL": "x"}, "there is no setting 'MLPATTERNS_SERVICE_URL'"),
    ],
)
def test_a_misspelt_variable_is_an_error_with_a_suggestion(environ: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=words):
        load_settings(environ=environ, folder=tmp_path)


def test_a_misspelt_field_of_the_file_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no setting 'prot'; did you mean 'port'\? \(mlpatterns.toml\)"):
        load_settings(environ={}, folder=write(tmp_path, "prot = 1"))


def test_variables_of_the_same_prefix_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "MLPATTERNS_SERVICE_SETOSA_URL": "http://x",
        "MLPATTERNS_WORKER_RESET_SHARED": "x",
        "MLPATTERNS_CHAOS": "10",
    }
    assert load_settings(environ=environ, folder=tmp_path).settings == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("WORKERS", "0"),
        ("REQUEST_TIMEOUT", "0"),
        ("REQUEST_TIMEOUT", "nan"),
        ("REQUEST_TIMEOUT", "soon"),
        ("OUTLIER_LOWER_THRESHOLD", "nan"),
        ("DEFAULT_THRESHOLD", "nan"),
        ("DEFAULT_THRESHOLD", "7"),
        ("MAX_CONCURRENCY", "0"),
        ("MAX_QUEUE", "-1"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_HELD_BYTES", "-5"),
        ("MAX_HEADER_BYTES", "0"),
        ("THREADS", "-1"),
        ("DRAIN_DELAY", "-0.1"),
        ("ACCESS_LOG", "perhaps"),
        ("PROXY_HEADERS", "2"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("API_KEYS", "alice"),
        ("API_KEYS", "alice="),
        ("API_KEYS", "=k"),
        ("TLS_KEY", "key.pem"),
        ("TLS_CERTIFICATE", "cert.pem"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_setting(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={f"MLPATTERNS_{name}": value}, folder=tmp_path)
    assert name.lower() in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "it must be debug, info, warning or error"),
        ("EXTRA_COLUMNS", "drop", "it must be refuse or ignore"),
        ("ACCESS_LOG", "perhaps", "it must be true or false (or yes or no, on or off, 1 or 0)"),
        ("PORT", "70000", "it must be a whole number from 0 to 65535"),
        ("PORT", "80.5", "it must be a whole number from 0 to 65535"),
        ("WORKERS", "0", "it must be a whole number, 1 or more"),
        ("MAX_BODY_BYTES", "64 apples", "it must be a whole number, 1 or more"),
        ("REQUEST_TIMEOUT", "inf", "it must be a number greater than 0"),
        ("DRAIN_DELAY", "nan", "it must be a number, 0 or more"),
        ("LEASE_SECONDS", "1e999", "it must be a number greater than 0"),
        ("DEFAULT_THRESHOLD", "2", "it must be a number from 0 to 1"),
        ("THRESHOLD", "high", "it must be a number"),
        ("API_KEYS", "a=1,a=2", "it must be a mapping, each name once: NAME=VALUE,NAME=VALUE as text"),
    ],
)
def test_a_refusal_says_what_is_allowed_in_plain_words(variable: str, value: str, allowed: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={f"MLPATTERNS_{variable}": value}, folder=tmp_path)
    shown = "its value" if variable == "API_KEYS" else repr(value)
    assert str(caught.value).startswith(f"{variable.lower()} (environment): {shown} is not valid: {allowed}")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('access_log = "maybe"', "it must be true or false"),
        ("access_log = 7", "it must be true or false"),
        ("context_headers = [1]", 'it must be a list: a,b as text, or ["a", "b"] in mlpatterns.toml'),
        ("api_keys = 7", 'or { NAME = "VALUE" } in mlpatterns.toml'),
        ("request_timeout = inf", "it must be a number greater than 0"),
        ("host = 7", "it must be text"),
    ],
)
def test_of_the_file_too(text: str, allowed: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, folder=write(tmp_path, text))
    assert allowed in str(caught.value)
    assert SETTINGS_FILE in str(caught.value)


def test_text_in_the_file_is_read_as_text_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, 'access_log = "yes"\nlog_level = "WARNING"\nport = "9000"\ncontext_headers = "a,b"\nworkers = ""\n')
    loaded = load_settings(environ={}, folder=tmp_path)
    found = loaded.settings
    assert (found.access_log, found.log_level, found.port, found.context_headers) == (True, "warning", 9000, ("a", "b"))
    assert found.workers == 1
    assert "workers" not in loaded.sources


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_is_as_if_not_given(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "port = 9000\n")
    secret = tmp_path / "keys"
    secret.write_text("alice=k1")
    environ = {f"MLPATTERNS_{name}": empty for name in ("PORT", "LOG_LEVEL", "ADMIN_TOKEN_FILE", "THRESHOLD")}
    environ |= {"MLPATTERNS_API_KEYS_FILE": str(secret), "MLPATTERNS_API_KEYS": empty}
    loaded = load_settings({"host": empty}, environ, tmp_path)
    assert loaded.settings == Settings(port=9000, api_keys={"alice": "k1"})
    assert set(loaded.sources) == {"port", "api_keys"}
    with pytest.raises(UnknownName, match="did you mean"):
        load_settings(environ={"MLPATTERNS_PROT": empty}, folder=tmp_path / "none")


def test_an_empty_secret_does_not_open_the_server(tmp_path: Path) -> None:
    secret = tmp_path / "keys"
    secret.write_text("\n")
    with pytest.raises(SettingsError, match="the file that MLPATTERNS_API_KEYS_FILE names is empty"):
        load_settings(environ={"MLPATTERNS_API_KEYS_FILE": str(secret)}, folder=tmp_path)


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        ("example.com", "is not an origin; write https://HOST"),
        ("https://a.example/", "is not an origin"),
        ("https://a.example/app", "is not an origin"),
        ("https://A.example", "in lower case"),
        ("https://*.a.example", "one for each site"),
        ("https://user:s3cret@a.example", "is not an origin"),
        ("null", "is not an origin"),
        ("https://a.example:443", "browsers omit ':443' from an origin; write https://a.example"),
        ("*,https://a.example", "allows every origin"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origins: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cors_origins") as caught:
        load_settings(environ={"MLPATTERNS_CORS_ORIGINS": origins}, folder=tmp_path)
    assert words in str(caught.value)


names = st.sampled_from(Settings.__struct_fields__)
written = st.text(max_size=30) | st.sampled_from(["inf", "-1", "1e400", "9" * 40, "a=b,c", "*", "null", "yes", "１"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def loaded_or_refused(**sources: Any) -> LoadedSettings | str:
    try:
        return load_settings(**{"environ": {}, "folder": Path("/nonexistent"), **sources})
    except SettingsError as error:
        return str(error)


@given(names, written)
def test_any_text_is_a_value_of_the_fields_type_or_one_sentence(name: str, text: str) -> None:
    found = loaded_or_refused(environ={f"MLPATTERNS_{name.upper()}": text})
    if isinstance(found, str):
        assert name in found
        assert not {"\n", "`"} & set(found) - set(text)
    else:
        plain = msgspec.to_builtins(found.settings, enc_hook=str)
        assert msgspec.convert(plain, Settings, dec_hook=lambda kind, value: kind(value)) == found.settings
        assert set(found.sources) == ({name} if text.strip() else set())


@given(names, anything)
def test_any_value_of_a_flag_too(name: str, value: Any) -> None:
    found = loaded_or_refused(flags={name: value})
    assert name in found if isinstance(found, str) else found.sources.keys() <= {name}


@pytest.mark.parametrize("text", ["port = ", "port = 'x'", "[port]\na = 1", "api_keys = ['a']", "workers = 1.5"])
def test_a_bad_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, folder=write(tmp_path, text))
    assert SETTINGS_FILE in str(caught.value)


def test_a_file_that_is_not_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(environ={}, folder=tmp_path)


def test_a_secret_is_in_no_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={"MLPATTERNS_API_KEYS": "s3cret"}, folder=tmp_path)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UserError) as found:
        load_settings(environ={}, folder=write(tmp_path, "api_keys = { a = 7654321 }"))
    assert "7654321" not in str(found.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql://:s3cret@db/x", "postgresql://:***@db/x"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_what_is_shown_has_no_secret_and_says_where_each_value_is_from(url: str, shown: str, tmp_path: Path) -> None:
    environ = {"MLPATTERNS_REGISTRY": url, "MLPATTERNS_API_KEYS": "alice=s3cret"}
    rows = load_settings({"port": 9}, environ, tmp_path).redacted()
    assert rows["registry"] == (shown, "environment")
    assert rows["api_keys"] == ("(set)", "environment")
    assert rows["port"] == ("9", "flag")
    assert rows["workers"] == ("1", "default")
    assert "s3cret" not in str(rows)
    assert list(rows) == list(msgspec.structs.asdict(Settings()))


@pytest.mark.parametrize(("name", "variable"), [("setosa", "SETOSA"), ("my-part_2", "MY_PART_2")])
def test_the_address_of_a_service_is_under_its_name(name: str, variable: str) -> None:
    assert service_url(name, {f"MLPATTERNS_SERVICE_{variable}_URL": "http://x"}) == "http://x"
    assert service_url(name, {}) is None
    assert service_url(name, {f"MLPATTERNS_SERVICE_{variable}_URL": ""}) is None


def test_the_admin_token_is_secret_and_no_api_key(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t0ken\n")
    loaded = load_settings(environ={"MLPATTERNS_ADMIN_TOKEN_FILE": str(secret)}, folder=tmp_path)
    assert loaded.settings.admin_token == "t0ken"
    assert loaded.redacted()["admin_token"] == ("(set)", "environment")
    assert load_settings(environ={}, folder=write(tmp_path, 'admin_token = "x"')).settings.admin_token == "x"
    with pytest.raises(SettingsError, match="admin_token must differ from all api_keys"):
        load_settings(environ={"MLPATTERNS_API_KEYS": "alice=x"}, folder=tmp_path)
    with pytest.raises(SettingsError, match="its value") as raised:
        load_settings({"admin_token": 12345}, {}, tmp_path / "none")
    assert "12345" not in str(raised.value)


def kubernetes(service: str) -> dict[str, str]:
    """What Kubernetes puts into the environment of every container for a Service: two ports, one of them named."""
    head = service.upper().replace("-", "_")
    found = {f"{head}_SERVICE_HOST": "10.0.0.1", f"{head}_SERVICE_PORT": "80", f"{head}_PORT": "tcp://10.0.0.1:80"}
    found |= {f"{head}_SERVICE_PORT_HTTP": "80", f"{head}_SERVICE_PORT_GRPC_WEB": "81"}
    for port in (80, 81):
        link = f"{head}_PORT_{port}_TCP"
        found |= {link: f"tcp://10.0.0.1:{port}", f"{link}_PROTO": "tcp", f"{link}_PORT": str(port)}
        found |= {f"{link}_ADDR": "10.0.0.1"}
    return found


@pytest.mark.parametrize(
    "service", ["mlpatterns", "mlpatterns-online-ab", "mlpatterns-service", "mlpatterns-grpc", "mlpatterns-port"]
)
def test_what_kubernetes_says_of_a_service_of_our_name_is_no_setting(service: str, tmp_path: Path) -> None:
    assert load_settings(environ=kubernetes(service), folder=tmp_path).sources == {}


def test_real_settings_beside_a_service_of_our_name_count(tmp_path: Path) -> None:
    environ = {**kubernetes("mlpatterns-grpc"), "MLPATTERNS_PORT": "9000", "MLPATTERNS_SERVICE": "setosa",
               "MLPATTERNS_SERVICE_SETOSA_URL": "http://10.0.0.2"}  # fmt: skip
    loaded = load_settings(environ=environ, folder=tmp_path)
    assert loaded.sources == {"port": "environment", "service": "environment"}
    assert (loaded.settings.port, loaded.settings.service) == (9000, "setosa")
    assert service_url("setosa", environ) == "http://10.0.0.2"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MLPATTERNS_PROT", "9000", "did you mean 'MLPATTERNS_PORT'"),
        ("MLPATTERNS_GRPC_PROT", "9000", "did you mean 'MLPATTERNS_GRPC_PORT'"),
        ("MLPATTERNS_HTTP_PORT", "9000", "did you mean 'MLPATTERNS_"),
        ("MLPATTERNS_SERVICE_HSOT", "10.0.0.1", "did you mean 'MLPATTERNS_SERVICE'"),
        ("MLPATTERNS_PORT", "http://10.0.0.1", "port (environment)"),
    ],
)
def test_a_setting_that_is_misspelt_is_refused_all_the_same(
    variable: str, value: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        load_settings(environ={variable: value}, folder=tmp_path)
