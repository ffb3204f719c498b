"""The runbooks of a store, typed block by block against real servers."""

import os
import re
from pathlib import Path

import pytest
from docs.conftest import PAGE, Desk, soon
from docs.shell import TOOLS
from sqlalchemy import URL, make_url

from config_service.cipher import new_key
from dedup_model.errors import RevisionConflict
from dedup_rpc.client import AdminClient

API_KEY = "an-invented-key"


def test_every_block_of_the_runbooks_is_typed() -> None:
    typed: set[tuple[str, int]] = set()
    for path in Path(__file__).parent.glob("test_runbooks*.py"):
        found = re.findall(r'types\("([^"]+)"(?:, (\d))?\)', path.read_text())
        typed |= {(heading, int(number or 0)) for heading, number in found}
    headings = [block.heading for block in PAGE]
    there = {(name, number) for name in headings for number in range(headings.count(name))}
    assert typed == there


def test_a_sqlite_store_is_backed_up_while_it_serves_and_restored(desk: Desk) -> None:
    server = desk.serves()
    desk.sets(0.8)
    assert "everything opens" in desk.types("Back up SQLite")
    desk.sets(0.9)
    with desk.client() as client:
        old = client.get()
    assert server.stop() == 0
    desk.types("Restore SQLite")
    assert "epoch" in desk.types("Restore SQLite", 1)
    desk.serves()
    assert desk.high() == 0.8
    with desk.client() as client, pytest.raises(RevisionConflict):
        client.update({"thresholds.high": 0.7}, etag=old.etag)


def test_a_backup_older_than_a_rotation_gets_its_new_epoch(desk: Desk) -> None:
    server = desk.serves()
    desk.sets(0.8)
    with desk.client() as client:
        old = client.get()
    assert server.stop() == 0
    desk.types("Back up SQLite")
    desk.rotates()
    desk.types("Restore SQLite")
    assert desk.fails(desk.block("Restore SQLite", 1))
    assert desk.fails("config-service store new-epoch")
    desk.takes_the_old_key_back()
    assert "everything opens" in desk.types("Restore SQLite", 1)
    desk.serves()
    with desk.client() as client:
        new = client.get()
    assert (new.config.thresholds.high, new.revision.number) == (0.8, 2)
    assert new.epoch != old.epoch  # else nobody would notice what was written after the backup
    assert ", 0 under other keys" in desk.types("Rotate a key", 2)
    assert "everything opens" in desk.types("Rotate a key", 3)


def test_a_postgres_backup_older_than_a_rotation_gets_its_new_epoch(
    desk: Desk, database: str, pg_commands: Path
) -> None:
    plain = on_postgres(desk, database, pg_commands)
    desk.says("config-service migrate")
    desk.types("Back up PostgreSQL")
    old = epoch(desk)
    desk.rotates()
    elsewhere(desk, plain, "restored_older_than_a_rotation")
    desk.says('createdb --maintenance-db="$CONFIG_DATABASE_URL" restored_older_than_a_rotation')
    desk.says('pg_restore --no-owner --exit-on-error --dbname="$NEW" backup.dump')
    assert desk.fails(desk.block("Restore PostgreSQL", 1))
    desk.takes_the_old_key_back()
    assert "everything opens" in desk.types("Restore PostgreSQL", 1)
    desk.variables["CONFIG_DATABASE_URL"] = desk.variables["NEW"]
    assert epoch(desk) != old


def test_a_postgres_store_is_backed_up_restored_elsewhere_and_scaled(
    desk: Desk, database: str, pg_commands: Path
) -> None:
    plain = on_postgres(desk, database, pg_commands)
    desk.says("config-service migrate")
    more = {name: text for name, text in desk.variables.items() if name != "CONFIG_ADDRESS"}
    first, second = desk.serves(wait=False), desk.launcher.config(**more)
    first.wait_until_serving()
    assert "in 2 of 2 running servers" in desk.types("Scale")
    assert second.stop() == 0
    desk.sets(0.8)
    desk.types("Back up PostgreSQL")
    desk.sets(0.9)
    elsewhere(desk, plain, "event_dedup_restored")
    desk.types("Restore PostgreSQL")
    assert first.stop() == 0
    (desk.folder / "url").write_text(desk.variables.pop("CONFIG_DATABASE_URL"))
    desk.variables["CONFIG_DATABASE_URL_FILE"] = str(desk.folder / "url")
    assert "everything opens" in desk.types("Restore PostgreSQL", 1)
    del desk.variables["CONFIG_DATABASE_URL_FILE"]
    desk.variables["CONFIG_DATABASE_URL"] = desk.variables["NEW"]
    desk.serves()
    assert desk.high() == 0.8


def on_postgres(desk: Desk, database: str, commands: Path) -> URL:
    """Move the desk to a PostgreSQL database, with that server's commands at hand."""
    plain = make_url(database).set(drivername="postgresql")
    desk.variables["CONFIG_DATABASE_URL"] = plain.render_as_string(hide_password=False)
    desk.variables["PATH"] = os.pathsep.join(map(str, (commands, TOOLS, os.environ["PATH"])))
    return plain


def elsewhere(desk: Desk, plain: URL, database: str) -> None:
    """Name the database to restore into."""
    new = plain.set(database=database)
    desk.variables["NEW"] = new.render_as_string(hide_password=False)


def epoch(desk: Desk) -> str:
    """Return the epoch that a server of the desk's database serves."""
    server = desk.serves()
    with desk.client() as client:
        found = client.get().epoch
    assert server.stop() == 0
    return found


def test_a_key_is_rotated_while_the_service_serves(desk: Desk) -> None:
    desk.serves()
    desk.sets(0.8)
    old = (desk.folder / "ring").read_text()
    desk.types("Rotate a key")
    soon(lambda: "in 1 of 1" in desk.types("Rotate a key", 1).splitlines()[0])
    assert ", 0 under other keys" in desk.types("Rotate a key", 2)
    assert "everything opens" in desk.types("Rotate a key", 3)
    assert len(desk.types("Rotate a key", 4).splitlines()) == 1
    assert (desk.folder / "ring.before").read_text() == old
    assert (desk.folder / "ring").stat().st_mode & 0o077 == 0
    assert old.strip() not in (desk.folder / "ring").read_text()
    desk.sets(0.81)
    assert desk.high() == 0.81


def test_a_lost_key_costs_what_the_page_says(desk: Desk) -> None:
    server = desk.serves()
    desk.sets(0.8)
    with AdminClient(desk.variables["CONFIG_ADDRESS"]) as admin:
        (desk.folder / "settings.yaml").write_text(admin.export_config().yaml)
    assert server.stop() == 0
    (desk.folder / "ring").write_text(new_key())
    desk.types("A lost key")
    desk.serves()
    assert desk.high() == 0.8
    (desk.folder / "key.txt").write_text(API_KEY)
    desk.types("A lost key", 1)
    assert len(list(desk.folder.glob("config.db.lost_*"))) >= 1


def test_a_setting_is_taken_back_and_a_matcher_s_state_is_read(desk: Desk) -> None:
    config = desk.serves(wait=False)
    matcher = desk.launcher.matcher(config.address)
    config.wait_until_serving()
    desk.sets(0.8)
    desk.variables["MATCHER"] = matcher.address
    assert "CONFIG_SOURCE_LIVE" in desk.types("A matcher runs an old config", 1)
    soon(lambda: "live" in desk.types("A matcher runs an old config"))
    assert '"revision": "2"' in desk.types("A matcher runs an old config", 2)
    assert config.stop() == 0
    assert "CONFIG_SOURCE_MEMORY" in desk.types("A matcher runs an old config", 1)
    desk.types("Upgrade")
    desk.serves()
    soon(lambda: "CONFIG_SOURCE_LIVE" in desk.types("A matcher runs an old config", 1))
    assert "thresholds.high" in desk.types("Take a setting back")
    assert desk.high() == 0.75
