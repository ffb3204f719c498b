"""A database whose host vanishes in silence is given up within 16 s, and no thread waits for it.

At the far end of the path is a forwarder to PostgreSQL's Unix socket.
"""

import pytest
from reliability.dead_path import SERVER, namespaces, require_noticed, require_says, running
from reliability.harness import FULL
from reliability.postgres_server import PostgresServer
from sqlalchemy import make_url

from config_service import setup
from config_service.cipher import new_key
from config_service.env import Env

FORWARD = """
import socket, sys, threading

def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)

listening = socket.create_server((sys.argv[1], 5432))
print("listening", flush=True)
while True:
    near, _ = listening.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(sys.argv[2] + "/.s.PGSQL.5432")
    for ends in ((near, far), (far, near)):
        threading.Thread(target=copy, args=ends, daemon=True).start()
"""
ASK = """
import os, time
from config_service import setup
from config_service.env import Env
from dedup_model.errors import StoreUnavailable

store = setup.open_store(Env.read(os.environ))
store.stamp()
print("asked", flush=True)
try:
    while True:
        store.stamp()
        time.sleep(0.1)
except StoreUnavailable:
    print("given up", flush=True)
"""


@pytest.mark.skipif(not FULL, reason="takes 10 s: part of `make reliability`")
def test_a_database_whose_host_is_gone_is_given_up_in_time(
    killable_postgres: PostgresServer,
) -> None:
    env = Env(database_url=killable_postgres.create(), keyring=new_key())
    setup.migrate(env).close()
    url = make_url(env.database_url)
    there = url.set(host=SERVER, query={})
    variables = {
        "CONFIG_DATABASE_URL": there.render_as_string(hide_password=False),
        "CONFIG_KEYRING": str(env.keyring),
    }
    with (
        namespaces() as (one, two),
        running(one, FORWARD, SERVER, str(url.query["host"])) as forwarder,
    ):
        require_says(forwarder, "listening")
        with running(two, ASK, **variables) as asking:
            require_says(asking, "asked")
            require_noticed(one, two, asking, "given up")
