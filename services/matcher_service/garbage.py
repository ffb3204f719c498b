"""How rarely a process of the service looks for cyclic garbage."""

import gc

NEW_OBJECTS = 100_000
"""New containers before the collector looks at them.

A batch makes dozens of objects a listing and keeps them all: at Python's 700 the collector took half
of the time in which listings are prepared.
"""


def collect_rarely() -> None:
    """Let the collector run after `NEW_OBJECTS` new containers, in this whole process."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
