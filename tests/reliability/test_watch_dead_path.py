"""A watcher whose path dies in silence notices within 16 s."""

import tempfile

import pytest
from reliability.dead_path import SERVER, namespaces, require_noticed, require_says, running
from reliability.harness import FULL

from config_service.cipher import new_key

SERVE = """
import asyncio, os
from config_service.env import Env
from config_service.watch import Watch
from reliability.planted_watch import serve_with
asyncio.run(serve_with(Env.read(os.environ), Watch))
"""
FOLLOW = """
import asyncio, sys
import grpc
from dedup_rpc import channel
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

async def follow():
    async with channel.connect_aio(sys.argv[1]) as connection:
        try:
            request = pb.WatchConfigRequest()
            async for _ in ConfigServiceStub(connection).WatchConfig(request, wait_for_ready=True):
                print("watching", flush=True)
        except grpc.aio.AioRpcError as error:
            print(error.code().name, flush=True)

asyncio.run(follow())
"""


@pytest.mark.skipif(not FULL, reason="takes 16 s: part of `make reliability`")
def test_a_path_that_dies_in_silence_is_noticed_in_time() -> None:
    with namespaces() as (one, two), tempfile.TemporaryDirectory() as folder:
        variables = {
            "CONFIG_ADDRESS": f"{SERVER}:50051",
            "CONFIG_DATABASE_URL": f"sqlite:///{folder}/config.db",
            "CONFIG_KEYRING": new_key(),
        }
        with running(one, SERVE, **variables), running(two, FOLLOW, f"{SERVER}:50051") as client:
            require_says(client, "watching")
            require_noticed(one, two, client, "UNAVAILABLE")
