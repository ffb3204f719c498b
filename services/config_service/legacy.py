"""Reading the settings row of an earlier system: one table, one row, one JSON document."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from config_service.cipher import open_legacy
from config_service.database import DatabaseError, sqlite_path
from dedup_model.text_rules import fold_category
from dedup_model.tree import Document

_BLEND = {"primary_weight": 0.7, "secondary_weight": 0.3, "blend_lower": 0.4, "blend_upper": 0.8}
"""The earlier system's defaults."""


@dataclass(frozen=True)
class LegacySettings:
    """The earlier system's settings: its document and its API key, if one was set."""

    document: Document
    api_key: str | None = field(repr=False)
    updated_by: str


def read(url: str, fernet_key: str | None) -> LegacySettings:
    """Return the row with id 1 of `config_settings`.

    Raises `DatabaseError` when there is no such row and `KeyRingError` when the key does not open.
    """
    row = _row(url)
    stored = row.encrypted_api_key
    return LegacySettings(
        _document(row.config_json),
        open_legacy(stored, fernet_key) if stored else None,
        row.updated_by or "",
    )


def _row(url: str) -> Any:
    query = text(
        "SELECT config_json, encrypted_api_key, updated_by FROM config_settings WHERE id = 1"
    )
    try:
        _require_file(make_url(url))
        engine = create_engine(url, hide_parameters=True)
        with engine.connect() as connection:
            row = connection.execute(query).first()
    except (ArgumentError, NoSuchModuleError, DBAPIError, ImportError, ValueError):
        raise DatabaseError("no earlier system's config_settings table can be read there") from None
    if row is None:
        raise DatabaseError("the earlier system's config_settings table has no row with id 1")
    return row


def _require_file(url: URL) -> None:
    """Refuse a SQLite file that is not there: to connect to it would make it."""
    path = sqlite_path(url)
    if path and "uri" not in url.query and not path.is_file():
        raise DatabaseError(f"there is no file {path}: no earlier system's config_settings table")


def _document(stored: Any) -> Document:
    try:
        return _translated(_parsed(stored))
    except RecursionError:
        text = "the earlier system's config_json is nested deeper than settings are"
        raise DatabaseError(text) from None


def _parsed(stored: Any) -> Document:
    try:
        document = json.loads(stored) if isinstance(stored, str | bytes) else stored
    except ValueError:
        document = None
    if not isinstance(document or {}, dict):
        document = None
    if document is None:
        raise DatabaseError("the earlier system's config_json holds no JSON object")
    return dict(document)


def _translated(document: Document) -> Document:
    """Return the document in this tree's shape: nulls dropped, category names folded, no key."""
    kept = _without_nulls(document)
    title, ai = document.get("title"), kept.get("ai")
    if isinstance(title, dict) and title.get("cross_source_type", title) is None:
        kept["title"]["cross_source_type"] = _BLEND | _blend(kept["title"])
    if isinstance(ai, dict):
        kept["ai"] = {name: ai[name] for name in ai if name not in ("api_key", "gemini_api_key")}
    return kept | _folded(kept.get("category_weights"))


def _blend(title: Document) -> Document:
    """Return what a null `cross_source_type` meant: the blend of every other pair."""
    return {name: title[name] for name in _BLEND if name in title}


def _without_nulls(document: Document) -> Document:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if value is not None
    }


def _folded(section: Any) -> Document:
    if not isinstance(section, dict):
        return {}
    folded = dict(section)
    if isinstance(section.get("overrides"), dict):
        folded["overrides"] = {fold_category(str(k)): v for k, v in section["overrides"].items()}
    if isinstance(section.get("priority"), list):
        folded["priority"] = [fold_category(str(name)) for name in section["priority"]]
    return {"category_weights": folded}
