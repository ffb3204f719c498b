"""Who makes the call that is being handled."""

from contextvars import ContextVar

from dedup_rpc.authz import Principal

CALLER: ContextVar[Principal] = ContextVar("caller")
"""Set by the guard, in handlers and in the tasks that they start, not in executor threads."""


def caller() -> Principal:
    """Return who makes the call that is being handled; raises LookupError outside of one."""
    return CALLER.get()
