"""`config-service import-legacy`: the earlier system's row, its Fernet token and its oddities."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text

from config_service import setup
from config_service.__main__ import main
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.revision import Origin
from config_service.store import Store
from dedup_model import tree
from dedup_model.change import Change

CANARY = "Canary-Legacy-Key-42"
WHOLE: dict[str, Any] = tree.known(
    {name: tree.DEFAULTS[name] for name in tree.DEFAULTS if name not in ("text", "blocking")}
)

Legacy = Callable[..., str]


@pytest.fixture
def fernet_key(monkeypatch: pytest.MonkeyPatch) -> str:
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("EVENT_DEDUP_ENCRYPTION_KEY", key)
    return key


@pytest.fixture(autouse=True)
def database(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENT_DEDUP_ENCRYPTION_KEY", raising=False)
    monkeypatch.setenv("CONFIG_DATABASE_URL", env.database_url)


@pytest.fixture
def legacy(tmp_path: Path) -> Legacy:
    """Write an earlier system's database; returns its URL."""

    def write(document: Any, key: str | None = None) -> str:
        url = f"sqlite:///{tmp_path / 'old.db'}"
        with create_engine(url).begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE config_settings (id INTEGER PRIMARY KEY, config_json JSON,"
                    " encrypted_api_key TEXT, updated_at TEXT, updated_by TEXT)"
                )
            )
            stored = document if isinstance(document, str) else json.dumps(document)
            values = {"document": stored, "key": key}
            insert = "INSERT INTO config_settings VALUES (1, :document, :key, '2025', 'ann')"
            connection.execute(text(insert), values)
        return url

    return write


def _refused(url: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(["import-legacy", url])
    assert ended.value.code == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_only_leaves_that_differ_become_overrides(
    legacy: Legacy, env: Env, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tree.layer(WHOLE, {"thresholds": {"high": 0.8}, "ai": {"enabled": True}})
    document["category_weights"] = {"priority": [], "overrides": {}}
    main(["import-legacy", legacy(document)])
    state = setup.open_store(env).state()
    assert state.revision.origin is Origin.IMPORT
    assert state.revision.layers.overrides == {
        "thresholds": {"high": 0.8},
        "ai": {"enabled": True},
        "category_weights": {"priority": [], "overrides": {}},
    }
    out = capsys.readouterr().out
    assert "revision 2; overrides: thresholds.high, ai.enabled" in out
    assert "ai.api_key: not set" in out


def test_the_defaults_of_the_earlier_system_need_no_override(legacy: Legacy, env: Env) -> None:
    main(["import-legacy", legacy(WHOLE)])
    assert setup.open_store(env).state().revision.number == 1


def test_a_fernet_token_becomes_a_sealed_key(
    legacy: Legacy, env: Env, fernet_key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = Fernet(fernet_key).encrypt(CANARY.encode()).decode()
    main(["import-legacy", legacy(WHOLE, token)])
    captured = capsys.readouterr()
    assert "ai.api_key: set" in captured.out
    assert CANARY not in captured.out + captured.err
    assert setup.open_store(env).access_secret("ai.api_key", "test") == (CANARY, 1)


def test_a_plain_key_becomes_a_sealed_key(
    legacy: Legacy, env: Env, sql: Callable[..., Any]
) -> None:
    main(["import-legacy", legacy(WHOLE, f"plain:{CANARY}")])
    assert setup.open_store(env).access_secret("ai.api_key", "test") == (CANARY, 1)
    ((stored,),) = sql("SELECT value FROM config_secrets")
    assert stored.startswith("cse2.")


def test_a_plain_key_is_in_no_log_even_at_debug(
    legacy: Legacy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = legacy(WHOLE)
    with create_engine(url).begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE config_settings SET encrypted_api_key = 'plain:{CANARY}'"
        )
    caplog.clear()
    main(["import-legacy", url])
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "given",
    [None, "no fernet key", Fernet.generate_key().decode()],
    ids=["no key", "no Fernet key", "another key"],
)
def test_a_token_that_does_not_open_stores_nothing(
    legacy: Legacy,
    env: Env,
    given: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = Fernet(Fernet.generate_key()).encrypt(CANARY.encode()).decode()
    if given:
        monkeypatch.setenv("EVENT_DEDUP_ENCRYPTION_KEY", given)
    url = legacy(tree.layer(WHOLE, {"thresholds": {"high": 0.8}}), token)
    (line,) = _refused(url, capsys)
    assert "EVENT_DEDUP_ENCRYPTION_KEY" in line
    assert token not in line
    assert setup.open_store(env).state().revision.number == 1


def test_invalid_values_are_refused_by_path_and_nothing_is_stored(
    legacy: Legacy, env: Env, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tree.layer(
        WHOLE, {"scoring": {"date": -4711.5}, "thresholds": {"high": 0.2}, "ai": {"model": "a/b"}}
    )
    lines = _refused(legacy(document, f"plain:{CANARY}"), capsys)
    assert {line.partition(":")[0] for line in lines} == {
        "scoring.date", "thresholds.low", "ai.model",
    }  # fmt: skip
    assert "4711" not in "".join(lines)
    state = setup.open_store(env).state()
    assert (state.revision.number, state.secret("ai.api_key").is_set) == (1, False)


@pytest.mark.parametrize(
    "document", [{"scoring": 5}, {"scoring": "date"}, {"title": 5}, {"title": []}, {"ai": [1]}]
)
def test_a_section_that_is_no_section_is_refused_by_its_path(
    legacy: Legacy, document: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = _refused(legacy(document), capsys)
    assert line.startswith(f"{next(iter(document))}:")


def test_a_key_in_the_document_is_dropped_not_stored(legacy: Legacy, env: Env) -> None:
    document = tree.layer(WHOLE, {"ai": {"enabled": True}})
    document["ai"] = {**document["ai"], "api_key": CANARY, "gemini_api_key": CANARY}
    main(["import-legacy", legacy(document)])
    layers = setup.open_store(env).state().revision.layers
    assert CANARY not in repr(layers)
    assert layers.overrides == {"ai": {"enabled": True}}


@pytest.mark.parametrize("whole", [True, False], ids=["whole title", "part of a title"])
def test_a_null_cross_source_type_meant_the_blend_of_every_pair(
    legacy: Legacy, env: Env, whole: bool
) -> None:
    blend = {"blend_lower": 0.4, "blend_upper": 0.8, "primary_weight": 0.7, "secondary_weight": 0.3}
    title: dict[str, Any] = dict(blend) if whole else {"primary_weight": 0.7}
    main(["import-legacy", legacy({"title": {**title, "cross_source_type": None}})])
    effective = setup.open_store(env).state().revision.layers.effective
    assert {**effective["title"], **blend, "cross_source_type": blend} == effective["title"]


def test_category_names_are_folded(legacy: Legacy, env: Env) -> None:
    weights = {"priority": ["Märkte"], "overrides": {"Märkte": {"date": 1.0, "geo": None}}}
    main(["import-legacy", legacy({"category_weights": weights})])
    effective = setup.open_store(env).state().revision.layers.effective
    assert effective["category_weights"] == {
        "priority": ["maerkte"], "overrides": {"maerkte": {"date": 1.0}},
    }  # fmt: skip


def test_taking_over_twice_changes_nothing_the_second_time(legacy: Legacy, env: Env) -> None:
    url = legacy(tree.layer(WHOLE, {"thresholds": {"high": 0.8}}))
    main(["import-legacy", url])
    main(["import-legacy", url])
    assert setup.open_store(env).state().revision.number == 2


def test_overrides_that_the_earlier_system_does_not_know_survive(
    legacy: Legacy, env: Env, store: Store
) -> None:
    store.apply(Update(Change({"blocking": {"title_words": 5}}), Meta("tester")))
    main(["import-legacy", legacy(tree.layer(WHOLE, {"thresholds": {"high": 0.8}}))])
    overrides = setup.open_store(env).state().revision.layers.overrides
    assert overrides == {"blocking": {"title_words": 5}, "thresholds": {"high": 0.8}}


@pytest.mark.parametrize("document", ["", "[1]", "null", "5", "{", '"x"'])
def test_a_row_without_a_json_object_is_refused(
    legacy: Legacy, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = _refused(legacy(document), capsys)
    assert "JSON object" in line


@pytest.mark.parametrize("levels", [400, 100_000])
def test_a_document_that_is_nested_too_deep_is_refused(
    legacy: Legacy, store: Store, capsys: pytest.CaptureFixture[str], levels: int
) -> None:
    deep = '{"thresholds": ' + '{"high": ' * levels + "1" + "}" * (levels + 1)
    (line,) = _refused(legacy(deep), capsys)
    assert line.startswith(
        ("config-service: the earlier system's config_json is nested", "thresholds")
    )
    assert store.state().revision.number == 1


@pytest.mark.parametrize("url", ["x", "nosuch://x", "sqlite:////nosuch/old.db", "sqlite:///{0}"])
def test_a_database_without_the_row_is_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    (line,) = _refused(url.format(tmp_path / "empty.db"), capsys)
    assert "config_settings" in line
    assert store.state().revision.number == 1
    assert not (tmp_path / "empty.db").exists()


def test_a_file_without_a_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    (tmp_path / "old.db").touch()
    (line,) = _refused(f"sqlite:///{tmp_path / 'old.db'}", capsys)
    assert line == ("config-service: no earlier system's config_settings table can be read there")
    assert (tmp_path / "old.db").stat().st_size == 0
