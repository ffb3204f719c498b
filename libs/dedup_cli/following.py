"""Following the settings over the ends of streams: reconnects, resumes, repeats nothing."""

import random
import time
from collections.abc import Iterator

import grpc

from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds before a stream is opened again; doubled after each failure."""
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def follow(stub: ConfigServiceStub, mode: pb.WatchMode.ValueType) -> Iterator[pb.ConfigState]:
    """Yield states until interrupted; raises `grpc.RpcError` when the first stream fails."""
    seen: tuple[str, int] | None = None
    pause = FIRST_PAUSE
    while True:
        try:
            for state in _states(stub, mode, seen):
                pause, number = FIRST_PAUSE, state.revision.revision
                if (state.epoch, number) != seen:
                    seen = state.epoch, number
                    yield state
        except grpc.RpcError as error:
            if seen is None or error.code() not in _PASSING:
                raise
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 2, LONGEST_PAUSE)


def _states(
    stub: ConfigServiceStub, mode: pb.WatchMode.ValueType, seen: tuple[str, int] | None
) -> Iterator[pb.ConfigState]:
    epoch, after = seen or ("", None)
    request = pb.WatchConfigRequest(mode=mode, epoch=epoch, after_revision=after)
    for event in stub.WatchConfig(request):
        if event.WhichOneof("event") == "state":
            yield event.state
