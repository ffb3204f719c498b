"""`config-service tokens new`: a bearer token for a person or a service, and its entry."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from dedup_rpc.authz import NAME, ROLES, token_digest

MAX_DAYS = 3650


def entry(name: str, roles: Sequence[str], token: str, now: datetime, days: int) -> str:
    """Return the YAML of a principal with one token, for the list in `authz.yaml`.

    Raises ValueError for a name, a role or a number of days that the file would not take.
    """
    _require_sound(name, roles, days)
    expires = (now + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'  - name: "{name}"\n'
        f"    roles: [{', '.join(roles)}]\n"
        "    tokens:\n"
        f'      - {{sha256: "{token_digest(token)}", expires: "{expires}"}}\n'
    )


def _require_sound(name: str, roles: Sequence[str], days: int) -> None:
    if not re.fullmatch(NAME.strip("^$"), name):
        raise ValueError("the name takes 1 to 100 letters, digits and @ . _ : / -")
    if unknown := sorted(set(roles) - set(ROLES)):
        raise ValueError(f"{', '.join(unknown)}: known roles are {', '.join(ROLES)}")
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"--days takes 1 to {MAX_DAYS}")
