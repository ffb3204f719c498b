"""How a server's cyclic garbage is collected: seldom, and past what was there at the start."""

import gc

NEW_OBJECTS, YOUNG, MIDDLE = 20_000, 20, 20
"""Python's own thresholds let a thousand watchers wait for a full collection at every few changes."""


def calm() -> None:
    """Leave what exists now out of every later collection, and collect less often.

    For a process that has started and goes on to serve.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG, MIDDLE)
