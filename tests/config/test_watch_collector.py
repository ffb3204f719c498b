"""A server that serves collects cyclic garbage past what it started with."""

import subprocess
import sys

CODE = """
import gc
from config_service import serving
from dedup_rpc import collector
before = len(gc.get_objects())
collector.calm()
a = []
a.append(a)
del a
print(before, gc.get_freeze_count(), len(gc.get_objects()), gc.collect())
"""


def test_what_was_there_at_the_start_is_not_looked_at_again_and_new_garbage_is() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, frozen, looked_at, collected = map(int, done.stdout.split())
    assert frozen > before / 2 > 10_000
    assert looked_at < before / 100
    assert collected >= 1
