"""Replicas are restarted one after the other under load: a retrying client notices nothing (P22)."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from reliability.harness import FULL, Service, service
from reliability.postgres_server import PostgresServer

from config_service import setup
from dedup_model import tree
from dedup_rpc.client import ConfigClient

ROUNDS = 10 if FULL else 2
FIELDS = ("scoring.date", "scoring.geo")
CALLS, WAIT_SECONDS = 3, 20.0


@dataclass
class Load:
    """One client of one replica that writes and reads in turn."""

    address: str
    path: str
    acknowledged: list[float] = field(default_factory=list)

    def run(self, ended: threading.Event) -> None:
        """Work until told to end; raises what a call raises."""
        with ConfigClient(self.address) as client:
            while not ended.is_set():
                value = round(0.1 + len(self.acknowledged) / 10_000, 4)
                client.update({self.path: value})
                self.acknowledged.append(value)
                held = client.get().settings.document
                assert tree.find(held, tuple(self.path.split("."))) == value

    def goes_on(self) -> None:
        """Wait until some more was acknowledged."""
        wanted, ends = len(self.acknowledged) + CALLS, time.monotonic() + WAIT_SECONDS
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < ends, "the client does not get on"
            time.sleep(0.01)


def _restart(replica: Service) -> None:
    assert replica.stop() == 0
    replica.start()


def test_a_rolling_restart_fails_no_call_of_a_retrying_client(
    killable_postgres: PostgresServer,
) -> None:
    with ExitStack() as stack:
        url, ended = killable_postgres.create(), threading.Event()
        one, two = (stack.enter_context(service(url)) for _ in FIELDS)
        two.env = replace(two.env, keyring=one.env.keyring)
        setup.migrate(one.env).close()
        for replica in (one, two):
            replica.start()
        loads = [Load(r.address, path) for r, path in zip((one, two), FIELDS, strict=True)]
        pool = stack.enter_context(ThreadPoolExecutor(len(loads)))
        stack.callback(ended.set)
        running = [pool.submit(load.run, ended) for load in loads]
        for _ in range(ROUNDS):
            for replica, load in zip((one, two), loads, strict=True):
                load.goes_on()
                _restart(replica)
        ended.set()
        for end in running:
            end.result(WAIT_SECONDS)
        store = setup.open_store(one.env)
        assert store.stamp()[1] == 1 + sum(len(load.acknowledged) for load in loads)
        assert store.verify_audit().findings == ()
        store.close()
