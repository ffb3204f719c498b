"""What operators see of what running matchers say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dedup_model.reports import StatusReport


@dataclass(frozen=True)
class ClientStatus:
    """A report with who made it when; `lag` counts revisions, -1 means another epoch."""

    principal: str
    report: StatusReport
    lag: int
    reported_at: datetime


@dataclass(frozen=True)
class Clients:
    """Who runs what; `suspects` holds revisions that look like mistakes, with what jumped."""

    epoch: str
    head: int
    clients: tuple[ClientStatus, ...]
    suspects: Mapping[int, tuple[str, ...]]
