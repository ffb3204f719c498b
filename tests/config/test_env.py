"""The process's own settings: what is read, what is refused, and starts that must not happen."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config_service.__main__ import main
from config_service.cipher import new_key, parse_ring
from config_service.env import DEFAULT_ADDRESS, DEFAULT_DATABASE, Env
from config_service.store import Store
from dedup_rpc.server import NotAllowed

CANARY = "Canary-Ring-1"
Refused = Callable[[list[str]], str]


def test_nothing_set_gives_the_defaults() -> None:
    assert Env.read({}) == Env(DEFAULT_ADDRESS, DEFAULT_DATABASE)


def test_the_database_url_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("sqlite:///from-a-file.db\n")
    variables = {"CONFIG_DATABASE_URL_FILE": str(file)}
    assert Env.read(variables).database_url == "sqlite:///from-a-file.db"
    with pytest.raises(ValueError, match="not both"):
        Env.read(variables | {"CONFIG_DATABASE_URL": "sqlite:///x.db"})
    file.write_text("\n")
    with pytest.raises(ValueError, match="CONFIG_DATABASE_URL_FILE is empty"):
        Env.read(variables)


def test_an_empty_variable_counts_as_not_set() -> None:
    names = (
        "CONFIG_ADDRESS", "CONFIG_DATABASE_URL", "CONFIG_KEYRING_FILE", "CONFIG_KEYRING",
        "CONFIG_BOOTSTRAP_FILE", "CONFIG_POLL_SECONDS", "EVENT_DEDUP_ENCRYPTION_KEY", "LOG_LEVEL",
    )  # fmt: skip
    assert Env.read(dict.fromkeys(names, "")) == Env()


def test_every_variable_is_read() -> None:
    assert Env.read(
        {
            "CONFIG_ADDRESS": "unix:/tmp/c.sock",
            "CONFIG_DATABASE_URL": "sqlite:///x.db",
            "CONFIG_KEYRING_FILE": "/ring",
            "CONFIG_KEYRING": "line",
            "CONFIG_BOOTSTRAP_FILE": "/boot.yaml",
            "CONFIG_POLL_SECONDS": "0.5",
            "EVENT_DEDUP_ENCRYPTION_KEY": "fernet",
            "LOG_LEVEL": "debug",
        }
    ) == Env(
        address="unix:/tmp/c.sock",
        database_url="sqlite:///x.db",
        keyring_file=Path("/ring"),
        keyring="line",
        legacy_key="fernet",
        bootstrap_file=Path("/boot.yaml"),
        poll_seconds=0.5,
        log_level="DEBUG",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONFIG_POLL_SECONDS", v) for v in ("0", "-1", "61", "nan", "inf", "0,1", "x", "1e9")]
    + [("LOG_LEVEL", v) for v in ("LOUD", "10", "trace")],
)
def test_a_bad_variable_is_named_and_its_value_is_not(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        Env.read({name: value})
    assert value not in str(caught.value).split()


def test_keys_are_not_in_the_repr() -> None:
    env = Env.read({"CONFIG_KEYRING": CANARY, "EVENT_DEDUP_ENCRYPTION_KEY": CANARY})
    assert CANARY not in repr(env)


WRONG: dict[str, tuple[list[str], dict[str, str], str]] = {
    "all interfaces": (["serve", "--address", "0.0.0.0:0"], {}, "loopback"),
    "a name": (["serve", "--address", "127.0.0.1.example:0"], {}, "loopback"),
    "IPv6": (["serve", "--address", "[::]:0"], {}, "loopback"),
    "no port": (["serve", "--address", "127.0.0.1"], {}, "loopback"),
    "a bad port": (["serve", "--address", "127.0.0.1:nope"], {}, "cannot listen"),
    "another database": (["migrate"], {"CONFIG_DATABASE_URL": "mysql://h/d"}, "sqlite:///PATH"),
    "no URL": (["migrate"], {"CONFIG_DATABASE_URL": "nonsense"}, "sqlite:///PATH"),
    "a password's signs": (
        ["migrate"], {"CONFIG_DATABASE_URL": f"postgresql://u:a@b:{CANARY}@h/d"}, "malformed"),
    "an earlier system's password": (
        ["import-legacy", f"postgresql://u:a@b:{CANARY}@h/d"], {}, "no earlier system"),
    "a driver": (["migrate"], {"CONFIG_DATABASE_URL": "sqlite+no:///{}/x"}, "sqlite:///PATH"),
    "a directory": (["migrate"], {"CONFIG_DATABASE_URL": "sqlite:///{}"}, "config-service: "),
    "a file as directory": (
        ["migrate"], {"CONFIG_DATABASE_URL": "sqlite:////dev/null/c.db"}, "config-service: "),
    "no database": (
        ["serve", "--address", "127.0.0.1:0"], {"CONFIG_DATABASE_URL": "sqlite:///{}/junk"},
        "config-service: "),
    "no ring file": (["migrate"], {"CONFIG_KEYRING_FILE": "{}/none"}, "cannot be read"),
    "a weak ring": (["migrate"], {"CONFIG_KEYRING": "A" * 43}, "line 1 of the key ring"),
    "a wrong ring": (["migrate"], {"CONFIG_KEYRING": new_key()}, "lacks the key"),
    "no bootstrap file": (["migrate"], {"CONFIG_BOOTSTRAP_FILE": "{}/none"}, "none: cannot be"),
    "a log level": (["serve"], {"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
    "a poll": (["serve"], {"CONFIG_POLL_SECONDS": "0"}, "CONFIG_POLL_SECONDS"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_start_ends_with_78_and_one_line(
    url: str,
    store: Store,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused_start: Refused,
) -> None:
    arguments, variables, text = WRONG[name]
    (tmp_path / "junk").write_bytes(b"no database at all " * 300)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.replace("{}", str(tmp_path)))
    line = refused_start(arguments)
    assert text in line
    assert CANARY not in line
    assert store.state().revision.number == 1


def test_a_locked_database_cannot_be_migrated_and_says_so(
    url: str, store: Store, env: Env, refused_start: Refused
) -> None:
    other = sqlite3.connect(env.database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert refused_start(["migrate"]).startswith("config-service: ")
    other.close()


async def test_a_taken_port_fails_loudly(
    server: Any, env: Env, serve: Callable[[Env], Awaitable[Any]]
) -> None:
    url = env.database_url.replace("c.db", "other.db")
    with pytest.raises(OSError, match="cannot listen"):
        await serve(replace(env, address=server.address, database_url=url))


async def test_other_addresses_than_loopback_are_refused_before_anything_is_made(
    env: Env, tmp_path: Path, serve: Callable[[Env], Awaitable[Any]]
) -> None:
    for address in ("0.0.0.0:0", "example.org:1", "192.168.0.1:0", "", "ipv4:127.0.0.1:0"):
        with pytest.raises(NotAllowed):
            await serve(replace(env, address=address))
    assert list(tmp_path.iterdir()) == []


async def test_a_unix_socket_is_served(
    env: Env,
    tmp_path: Path,
    serve: Callable[[Env], Awaitable[Any]],
    connect: Callable[[str], Any],
) -> None:
    client = connect((await serve(replace(env, address=f"unix:{tmp_path}/s"))).address)
    assert await client.head() == 1


def test_keys_generate_prints_a_line_that_a_ring_takes(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "generate"])
    line = capsys.readouterr().out
    main(["keys", "generate"])
    assert line != capsys.readouterr().out
    assert len(parse_ring([line]).keys) == 1
