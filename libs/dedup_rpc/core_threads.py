"""Keeps the threads of grpc's core for the life of a process.

They end with the last server and channel, and whoever closes that one waits for them with Python's
lock held: for ever, if one of them wants the lock at that moment (grpc 1.85, grpc/grpc#42247). A
service would not end on SIGTERM, and a command would hang after its work was done.
"""

import functools

import grpc


@functools.cache
def keep() -> grpc.Channel:
    """Return one channel that is never closed and never connects."""
    return grpc.insecure_channel("ipv4:127.0.0.1:1")
