"""The documented client of ConfigService, blocking and asyncio; nothing of the wire passes it.

A call raises a class of `dedup_model.errors` when the service refuses it for a known reason (nothing
was applied then), `ServiceError` when it gives no definite answer, `UnusableConfig` for a config that
this release must not run. Any number of threads, or tasks of one event loop, may share a client.
"""

from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_rpc.bearer import UnusableCredentials
from dedup_rpc.channel import ANONYMOUS, Credentials
from dedup_rpc.client.aio import AsyncAdminClient, AsyncConfigClient
from dedup_rpc.client.aio_watch import AsyncWatch
from dedup_rpc.client.blocking import AdminClient, ConfigClient
from dedup_rpc.client.blocking_watch import Watch
from dedup_rpc.client.errors import ServiceError, UnusableConfig
from dedup_rpc.client.reports import Clients, ClientStatus
from dedup_rpc.client.retry import Retry
from dedup_rpc.client.values import (
    API_KEY,
    AuditEvent,
    AuditVerdict,
    ConfigView,
    Difference,
    Edit,
    Export,
    PathChange,
    Position,
    Revision,
    SecretEdit,
    SecretStatus,
    SecretValue,
    Settings,
    WatchMode,
    WatchState,
)

__all__ = [
    "ANONYMOUS",
    "API_KEY",
    "AdminClient",
    "AsyncAdminClient",
    "AsyncConfigClient",
    "AsyncWatch",
    "AuditEvent",
    "AuditVerdict",
    "BatchStats",
    "ClientStatus",
    "Clients",
    "ConfigClient",
    "ConfigView",
    "Credentials",
    "Difference",
    "Edit",
    "Export",
    "PathChange",
    "Position",
    "Rejection",
    "Retry",
    "Revision",
    "SecretEdit",
    "SecretStatus",
    "SecretValue",
    "ServiceError",
    "Settings",
    "StatusReport",
    "UnusableConfig",
    "UnusableCredentials",
    "Watch",
    "WatchMode",
    "WatchState",
]
