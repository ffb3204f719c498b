"""The key ring: sealing and opening everything sensitive before SQL sees it.

A token is `cse2.<key id>.<base64url of nonce, ciphertext and tag>`, AES-256-GCM. Its associated
data binds it to store, table, column, row and version, so that a token that was moved does not
open. Key ids are derived from the keys: a wrong key can never sit under a right id.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dedup_model.errors import CiphertextInvalid, KeyNotInRing, PlaintextRefused

KEY_BYTES = 32
NONCE_BYTES = 12
MAX_KEYS = 16
PREFIX = "cse2"
PLAIN = "plain:"
FERNET = "gAAAA"
_KEY_ID = re.compile(r"[0-9a-f]{12}")
LEGACY_TABLE = "config_secrets"
"""The one table whose cells an earlier system may have written."""


class KeyRingError(Exception):
    """A key ring that cannot be used; says which line and why, never the key."""


@dataclass(frozen=True)
class Cell:
    """The place of one sealed value."""

    store_id: str
    table: str
    column: str
    row: str
    version: int = 1

    def associated_data(self, key_id: str) -> bytes:
        """Return the length-prefixed list of everything the token is bound to."""
        parts = (
            PREFIX,
            self.store_id,
            self.table,
            self.column,
            self.row,
            str(self.version),
            key_id,
        )
        return b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)


@dataclass(frozen=True)
class Legacy:
    """What opens the secrets of an earlier system: its Fernet key, and leave to read plain text."""

    fernet_key: str | None = field(default=None, repr=False)
    allow_plain: bool = False

    def open(self, token: str) -> bytes:
        """Return the value of a legacy cell; raises `KeyNotInRing` or `PlaintextRefused`."""
        if token.startswith(PLAIN) and not self.allow_plain:
            raise PlaintextRefused("a cell is not sealed; allow it with CONFIG_ALLOW_PLAIN=1")
        try:
            return open_legacy(token, self.fernet_key).encode()
        except KeyRingError:
            text = "EVENT_DEDUP_ENCRYPTION_KEY does not open a cell of the earlier system"
            raise KeyNotInRing(text, key_id="fernet") from None


@dataclass(frozen=True)
class KeyRing:
    """Keys by id; one seals, all of them open."""

    keys: dict[str, bytes] = field(repr=False)
    writer: str = ""
    legacy: Legacy = Legacy()

    @property
    def primary(self) -> str:
        """Return the id of the key that seals: the named one, else the first."""
        return self.writer or next(iter(self.keys))

    def seal(self, value: bytes, cell: Cell) -> str:
        """Return the token of `value` for its place."""
        nonce = os.urandom(NONCE_BYTES)
        data = cell.associated_data(self.primary)
        sealed = nonce + AESGCM(self.keys[self.primary]).encrypt(nonce, value, data)
        return f"{PREFIX}.{self.primary}.{_encoded(sealed)}"

    def open(self, token: object, cell: Cell) -> bytes:
        """Return the value of a token; raises `KeyNotInRing` or `CiphertextInvalid`."""
        if not isinstance(token, str):
            raise _invalid(cell)
        if token.startswith((FERNET, PLAIN)) and cell.table == LEGACY_TABLE:
            return self.legacy.open(token)
        prefix, _, rest = token.partition(".")
        key_id, _, body = rest.partition(".")
        if prefix != PREFIX or not _KEY_ID.fullmatch(key_id) or "=" in body:
            raise _invalid(cell)
        if key_id not in self.keys:
            raise KeyNotInRing(
                "the key that sealed this store is not in the key ring", key_id=key_id
            )
        try:
            sealed = _decoded(body)
            data = cell.associated_data(key_id)
            return AESGCM(self.keys[key_id]).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], data
            )
        except (InvalidTag, ValueError, binascii.Error):
            raise _invalid(cell) from None


@dataclass(frozen=True)
class StoreKey:
    """The key that a store keeps for life, itself sealed: its keyed hashes outlive rotations."""

    value: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "StoreKey":
        """Return a random one."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def hash(self, purpose: str, value: bytes) -> str:
        """Return the HMAC-SHA-256 of `value` under the key of one purpose, in hex."""
        derived = hmac.digest(self.value, purpose.encode(), "sha256")
        return hmac.digest(derived, value, "sha256").hex()

    def fingerprint(self, secret: bytes) -> str:
        """Return 12 hex digits of a secret's hash, to compare secrets without showing them."""
        return self.hash("secret", secret)[:12]

    def is_hash(self, stored: str, purpose: str, value: bytes) -> bool:
        """Tell whether `stored` is the hash of `value`."""
        return hmac.compare_digest(stored, self.hash(purpose, value))


def key_id_of(token: str) -> str:
    """Return the id of the key that sealed a token; `fernet` or `plain` for a legacy cell."""
    if token.startswith(FERNET):
        return "fernet"
    return "plain" if token.startswith(PLAIN) else token.split(".", 2)[1] if "." in token else ""


def _invalid(cell: Cell) -> CiphertextInvalid:
    return CiphertextInvalid(
        "a sealed cell does not authenticate", table=cell.table, column=cell.column, row=cell.row
    )


def _decoded(text: str) -> bytes:
    """Return the bytes of a base64url text without padding; refuses any other spelling of them."""
    value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encoded(value) != text.rstrip("="):
        raise ValueError("not the one spelling of these bytes")
    return value


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def parse_ring(lines: Iterable[str]) -> KeyRing:
    """Return the ring of text lines, one base64url key of 32 bytes each; `#` begins a comment."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            key = _key(text, number)
            if key_id(key) in keys:
                raise KeyRingError(f"line {number} of the key ring repeats a key")
            keys[key_id(key)] = key
    if not keys:
        raise KeyRingError("the key ring holds no key")
    if len(keys) > MAX_KEYS:
        raise KeyRingError(f"the key ring holds more than {MAX_KEYS} keys")
    return KeyRing(keys)


def _key(text: str, number: int) -> bytes:
    try:
        key = _decoded(text)
    except (binascii.Error, ValueError):
        raise KeyRingError(f"line {number} of the key ring is not base64url") from None
    if len(key) != KEY_BYTES or len(set(key)) < KEY_BYTES // 4:
        raise KeyRingError(
            f"line {number} of the key ring is not a random key of {KEY_BYTES} bytes"
        )
    return key


def key_id(key: bytes) -> str:
    """Return the id of a key: 12 hex digits of its hash."""
    return hashlib.sha256(b"event-dedup key id" + key).hexdigest()[:12]


def new_key() -> str:
    """Return a new random key as a line of a ring."""
    return _encoded(secrets.token_bytes(KEY_BYTES))


def development_ring(path: Path) -> KeyRing:
    """Return the ring in `path`, made with mode 0600 when there is none.

    Of several processes that make it at once, one wins and all of them read its key.
    """
    if not path.exists():
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        Path(name).unlink()
    return read_ring(path)


def read_ring(path: Path) -> KeyRing:
    """Return the ring in a file; raises `KeyRingError` when it cannot be read."""
    try:
        return parse_ring(path.read_text(encoding="ascii").splitlines())
    except (OSError, UnicodeDecodeError):
        raise KeyRingError(f"the key ring file {path.name} cannot be read") from None


def open_legacy(stored: str, fernet_key: str | None) -> str:
    """Return the value of an earlier system's cell: a Fernet token or `plain:` text.

    Raises `KeyRingError` when the Fernet key is missing, malformed or another one.
    """
    if stored.startswith(PLAIN):
        return stored.removeprefix(PLAIN)
    if not fernet_key:
        raise KeyRingError("a Fernet token needs EVENT_DEDUP_ENCRYPTION_KEY")
    try:
        return Fernet(fernet_key).decrypt(stored.encode()).decode()
    except (InvalidToken, ValueError):
        raise KeyRingError("EVENT_DEDUP_ENCRYPTION_KEY does not open the stored key") from None
